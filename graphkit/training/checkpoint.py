"""Training checkpoints: written whole or not at all, and read only if whole."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, Final

from safetensors.torch import load_file, save_file
from torch import Tensor

from graphkit.artefacts import sha256_file
from graphkit.progress import say

_INDEX: Final = "checkpoint.json"


def has_checkpoint(folder: Path) -> bool:
    """Whether there is a checkpoint, whole or damaged."""
    return (folder / _INDEX).exists()


def save_checkpoint(
    folder: Path, epoch: int, tensors: dict[str, Tensor], about: dict[str, Any], batches: int = 0
) -> None:
    """Write the state after ``epoch`` and ``batches`` of the next one; the rename of the small JSON file is what
    makes it the checkpoint."""
    folder.mkdir(parents=True, exist_ok=True)
    name = f"epoch-{epoch}" + (f"-batch-{batches}" if batches else "") + ".safetensors"
    save_file(tensors, folder / name)
    _sync(folder / name)
    index = {"file": name, "sha256": sha256_file(folder / name), "about": about}
    (folder / (_INDEX + ".new")).write_text(json.dumps(index), encoding="utf-8")
    _sync(folder / (_INDEX + ".new"))
    (folder / (_INDEX + ".new")).rename(folder / _INDEX)
    for old in folder.glob("epoch-*.safetensors"):
        if old.name != name:
            old.unlink()


def load_checkpoint(folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]] | None:
    """The tensors and facts of the last whole checkpoint; None, said aloud, where there is a damaged one."""
    if not has_checkpoint(folder):
        return None
    try:
        index = json.loads((folder / _INDEX).read_text(encoding="utf-8"))
        tensors = folder / index["file"]
        if sha256_file(tensors) == index["sha256"]:
            return load_file(tensors), index["about"]
        problem = "hash mismatch"
    except (OSError, ValueError, KeyError, TypeError) as error:
        problem = str(error) or type(error).__name__
    say(f"the checkpoint in {folder} is damaged ({problem}); training starts afresh")
    return None


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
