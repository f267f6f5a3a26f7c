"""Where a training stands, in one file that is there whole or not at all. Needs numpy alone, for any framework."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from graphkit.progress import say

Tensors = dict[str, npt.NDArray[Any]]


class SavedState(NamedTuple):
    """Tensors by name, and a JSON-able record beside them."""

    tensors: Tensors
    record: dict[str, Any]

    def below(self, prefix: str) -> Tensors:
        """The tensors whose names start with ``prefix``, without it."""
        return {name.removeprefix(prefix): t for name, t in self.tensors.items() if name.startswith(prefix)}


def save_state(path: Path, state: SavedState) -> None:
    """Write ``state``, atomically; the folder is made."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(path.name + ".new")
    tensors = {name: np.asarray(tensor, order="C") for name, tensor in state.tensors.items()}
    save_file(tensors, fresh, metadata={"state": json.dumps(state.record)})
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
            return SavedState({name: file.get_tensor(name) for name in file.keys()}, record)  # noqa: SIM118
    except (SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        say(f"the checkpoint {path} is damaged ({error}); training starts afresh")
        return None
