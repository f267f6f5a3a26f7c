"""Where the towers' training stands after an epoch, so that a killed run goes on as if it had not been."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from towers.backend import to_numpy
from towers.saved_state import Progress, SavedState, load_state, save_state
from towers.two_tower import Towers

CHECKPOINT_FILE: Final = "towers.safetensors"


def save_checkpoint(folder: Path, towers: Towers, progress: Progress) -> None:
    """Write weights, optimiser state, best weights and curves as one file, atomically."""
    optimiser = {name: to_numpy(variable) for name, variable in _optimiser(towers)}
    save_state(folder / CHECKPOINT_FILE, SavedState(towers.weights(), optimiser, progress))


def load_checkpoint(folder: Path, towers: Towers) -> Progress:
    """Put ``towers`` and their optimisers where the last finished epoch left them; fresh if there is none."""
    state = load_state(folder / CHECKPOINT_FILE)
    if state is None:
        return Progress()
    towers.set_weights(state.weights)
    for name, variable in _optimiser(towers):
        variable.assign(state.optimiser[name])
    return state.progress


def _optimiser(towers: Towers) -> Iterator[tuple[str, Any]]:
    for item_type, pair in towers.pairs.items():
        for i, variable in enumerate(pair.optimizer.variables):
            yield f"{item_type}/{i}", variable
