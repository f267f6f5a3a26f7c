"""Where a training stands, in one file that is there whole or not at all. Needs numpy alone, for any framework."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from graphkit.progress import say

Tensors = dict[str, npt.NDArray[Any]]


@dataclass
class Progress:
    """The epochs trained so far, of which an earlier process trained the first ``resumed``, and the weights of the
    best of them."""

    epochs: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    best_weights: Tensors = field(default_factory=dict)
    resumed: int = 0

    @property
    def epochs_since_best(self) -> int:
        return len(self.epochs) - self.best_epoch


class SavedState(NamedTuple):
    """A training after its last whole epoch: a model's weights, its optimiser's tensors, and the progress."""

    weights: Tensors
    optimiser: Tensors
    progress: Progress


def save_state(path: Path, state: SavedState) -> None:
    """Write ``state``, atomically; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    progress = state.progress
    parts = {"now": state.weights, "optimiser": state.optimiser, "best": progress.best_weights}
    tensors = {f"{part}/{name}": tensor for part, named in parts.items() for name, tensor in named.items()}
    record = {"epochs": progress.epochs, "best_epoch": progress.best_epoch}
    contiguous = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    save_file(contiguous, fresh, metadata={"state": json.dumps(record)})
    with fresh.open("rb") as file:
        os.fsync(file.fileno())
    fresh.rename(path)


def load_state(path: Path) -> SavedState | None:
    """What was saved; None where nothing was, or, with a word on standard error, where it cannot be read."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, framework="numpy") as file:
            record = json.loads(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no mapping)
        epochs = record["epochs"]
        progress = Progress(epochs, record["best_epoch"], _below("best/", tensors), resumed=len(epochs))
        return SavedState(_below("now/", tensors), _below("optimiser/", tensors), progress)
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        say(f"the checkpoint {path} is damaged ({error}); training starts afresh")
        return None


def _below(prefix: str, tensors: Tensors) -> Tensors:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
