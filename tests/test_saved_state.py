"""A training's state in one file: written whole, read as it was, and no obstacle once it is damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from towers.saved_state import SavedState, load_state, save_state


def test_what_is_saved_is_read(tmp_path: Path) -> None:
    tensors = {"now/a": np.arange(6.0).reshape(2, 3).T, "now/b": np.array(7), "best/a": np.zeros((0, 2), np.float32)}
    save_state(tmp_path / "folder" / "state", SavedState(tensors, {"epoch": 3}))
    state = load_state(tmp_path / "folder" / "state")
    assert state is not None
    assert state.record == {"epoch": 3}
    assert set(state.below("now/")) == {"a", "b"}
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(state.tensors[name], tensor)
        assert state.tensors[name].shape == tensor.shape


def test_nothing_and_a_damaged_file_start_afresh(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "state"
    assert load_state(path) is None
    save_state(path, SavedState({"a": np.ones(100)}, {}))
    path.write_bytes(path.read_bytes()[:50])
    assert load_state(path) is None
    assert "damaged" in capsys.readouterr().err
