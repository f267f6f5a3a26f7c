"""Where training stands after an epoch, in one file, so that a killed run goes on as if it had not been."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from graphkit.progress import say
from towers.backend import to_numpy
from towers.two_tower import Towers, Weights

CHECKPOINT_FILE: Final = "towers.safetensors"


@dataclass
class Progress:
    """The epochs trained so far, and the weights of the best of them."""

    epochs: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    best_weights: Weights = field(default_factory=dict)

    @property
    def epochs_since_best(self) -> int:
        return len(self.epochs) - self.best_epoch


def save_checkpoint(folder: Path, towers: Towers, progress: Progress) -> None:
    """Write weights, optimiser state, best weights and curves as one file, atomically."""
    tensors: dict[str, npt.NDArray[Any]] = {f"now/{name}": value for name, value in towers.weights().items()}
    tensors |= {f"best/{name}": value for name, value in progress.best_weights.items()}
    for item_type, pair in towers.pairs.items():
        for i, variable in enumerate(pair.optimizer.variables):
            tensors[f"optimiser/{item_type}/{i}"] = to_numpy(variable)
    state = json.dumps({"epochs": progress.epochs, "best_epoch": progress.best_epoch})
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / (CHECKPOINT_FILE + ".new")
    save_file(tensors, fresh, metadata={"state": state})
    with fresh.open("rb") as file:
        os.fsync(file.fileno())
    fresh.rename(folder / CHECKPOINT_FILE)


def load_checkpoint(folder: Path, towers: Towers) -> Progress:
    """Put ``towers`` and their optimisers where the last finished epoch left them; fresh if there is none."""
    path = folder / CHECKPOINT_FILE
    if not path.is_file():
        return Progress()
    try:
        with safe_open(path, framework="numpy") as file:
            state = json.loads(file.metadata()["state"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (it is no mapping)
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        say(f"the checkpoint {path} is damaged ({error}); training starts afresh")
        return Progress()
    towers.set_weights(_below("now/", tensors))
    for item_type, pair in towers.pairs.items():
        for i, variable in enumerate(pair.optimizer.variables):
            variable.assign(tensors[f"optimiser/{item_type}/{i}"])
    return Progress(state["epochs"], state["best_epoch"], _below("best/", tensors))


def _below(prefix: str, tensors: dict[str, npt.NDArray[Any]]) -> Weights:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
