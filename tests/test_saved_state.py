"""A training's state in one file: written whole, read as it was, and no obstacle once it is damaged."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from towers.saved_state import Progress, SavedState, load_state, save_state


def test_what_is_saved_is_read(tmp_path: Path) -> None:
    weights, optimiser = {"a": np.arange(6.0).reshape(2, 3).T, "b/0": np.array(7)}, {"0": np.full(3, 2)}
    progress = Progress([{"epoch": 1}, {"epoch": 2}, {"epoch": 3}], 2, {"a": np.zeros((0, 2), np.float32)})
    assert progress.epochs_since_best == 1
    save_state(tmp_path / "folder" / "state", SavedState(weights, optimiser, progress))
    state = load_state(tmp_path / "folder" / "state")
    assert state is not None
    assert (state.progress.epochs, state.progress.best_epoch) == (progress.epochs, 2)
    assert (progress.resumed, state.progress.resumed) == (0, 3)
    best = (progress.best_weights, state.progress.best_weights)
    for saved, read in ((weights, state.weights), (optimiser, state.optimiser), best):
        assert set(saved) == set(read)
        for name, tensor in saved.items():
            np.testing.assert_array_equal(read[name], tensor)
            assert read[name].shape == tensor.shape


def test_nothing_and_a_damaged_file_start_afresh(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "state"
    assert load_state(path) is None
    save_state(path, SavedState({"a": np.ones(100)}, {}, Progress()))
    path.write_bytes(path.read_bytes()[:50])
    assert load_state(path) is None
    assert "damaged" in capsys.readouterr().err
