"""Where training stands after an epoch, in one file, so that a killed run goes on as if it had not been."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from towers.backend import to_numpy
from towers.saved_state import SavedState, Tensors, load_state, save_state
from towers.two_tower import Towers, Weights

CHECKPOINT_FILE: Final = "towers.safetensors"


@dataclass
class Progress:
    """The epochs trained so far, of which an earlier process trained the first ``resumed``, and the weights of the
    best of them."""

    epochs: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    best_weights: Weights = field(default_factory=dict)
    resumed: int = 0

    @property
    def epochs_since_best(self) -> int:
        return len(self.epochs) - self.best_epoch


def save_checkpoint(folder: Path, towers: Towers, progress: Progress) -> None:
    """Write weights, optimiser state, best weights and curves as one file, atomically."""
    tensors: Tensors = {f"now/{name}": value for name, value in towers.weights().items()}
    tensors |= {f"best/{name}": value for name, value in progress.best_weights.items()}
    tensors |= {name: to_numpy(variable) for name, variable in _optimisers(towers).items()}
    record = {"epochs": progress.epochs, "best_epoch": progress.best_epoch}
    save_state(folder / CHECKPOINT_FILE, SavedState(tensors, record))


def load_checkpoint(folder: Path, towers: Towers) -> Progress:
    """Put ``towers`` and their optimisers where the last finished epoch left them; fresh if there is none."""
    state = load_state(folder / CHECKPOINT_FILE)
    if state is None:
        return Progress()
    towers.set_weights(state.below("now/"))
    for name, variable in _optimisers(towers).items():
        variable.assign(state.tensors[name])
    epochs = state.record["epochs"]
    return Progress(epochs, state.record["best_epoch"], state.below("best/"), resumed=len(epochs))


def _optimisers(towers: Towers) -> dict[str, Any]:
    """The variables of every pair's optimiser, by their names in the file."""
    return {
        f"optimiser/{item_type}/{i}": variable
        for item_type, pair in towers.pairs.items()
        for i, variable in enumerate(pair.optimizer.variables)
    }
