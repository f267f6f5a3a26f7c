"""What is left behind, and said, when a training step comes to no number."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from safetensors.torch import save_file

from graphkit.errors import GraphkitError
from graphkit.hgnn.links import LinkSets
from graphkit.training.checkpoint import has_checkpoint

FAILED_BATCH_FILE: Final = "failed-batch.safetensors"


def save_failed_batch(folder: Path, batch: LinkSets) -> None:
    """Write both ends of the batch's links: ``<relation>/src`` and ``<relation>/dst``, int64 [num_links]."""
    ends = {}
    for relation, links in batch.items():
        ends[f"{relation.name}/src"], ends[f"{relation.name}/dst"] = links.src.contiguous(), links.dst.contiguous()
    folder.mkdir(parents=True, exist_ok=True)
    save_file(ends, folder / FAILED_BATCH_FILE)


def not_finite(
    loss: float, norm: float, epoch: int, number: int, batch: LinkSets, checkpoint_dir: Path
) -> GraphkitError:
    """The error of a step whose loss or gradient norm is no number; the weights before it are untouched."""
    finite_loss = loss - loss == 0
    became = f"the norm of the gradient became {norm}" if finite_loss else f"the training loss became {loss}"
    counts = ", ".join(f"{len(links)} {relation.name}" for relation, links in batch.items())
    kept = (
        f"the last checkpoint is kept in {checkpoint_dir}" if has_checkpoint(checkpoint_dir) else "no checkpoint yet"
    )
    return GraphkitError(
        f"{became} in epoch {epoch}, batch {number}",
        where=f"links of the batch: {counts}; their ends are in {checkpoint_dir / FAILED_BATCH_FILE}",
        found=kept,
        fix="lower hgnn.learning_rate, set hgnn.clip_norm, or look for extreme values in the graph's text vectors",
    )
