"""Memory-mapped tensors are those of the file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from graphkit.errors import ArtefactError
from graphkit.histories import History, Pool, save_histories
from graphkit.serving.mapped import map_histories, map_tensors


def test_mapped_tensors_are_those_that_were_saved(tmp_path: Path) -> None:
    tensors = {
        "a": np.arange(6, dtype=np.int32).reshape(2, 3),
        "b/c": np.array([2**40, -1]),
        "d": np.zeros((4, 0), dtype=np.int32),
        "e": np.array([[0.5]], dtype=np.float32),
    }
    save_file(tensors, tmp_path / "x.safetensors")
    mapped = map_tensors(tmp_path / "x.safetensors")
    assert set(mapped) == set(tensors)
    for name, tensor in tensors.items():
        assert mapped[name].dtype == tensor.dtype
        np.testing.assert_array_equal(mapped[name], tensor)
        assert not mapped[name].flags.writeable


def test_mapped_histories_are_those_that_were_saved(tmp_path: Path) -> None:
    history = History(np.array([0, 2, 2, 3]), np.array([4, 1, 9], dtype=np.int32))
    save_histories(tmp_path / "h.safetensors", {Pool("a/b", "weak"): history})
    mapped = map_histories(tmp_path / "h.safetensors")[Pool("a/b", "weak")]
    assert [mapped.of(user).tolist() for user in range(3)] == [[4, 1], [], [9]]


@pytest.mark.parametrize("content", [b"", b"no tensors here", b"\xff" * 64, b"\x02" + b"\x00" * 7 + b"[]"])
def test_a_file_that_holds_no_tensors_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.safetensors").write_bytes(content)
    with pytest.raises(ArtefactError, match="not a readable safetensors file"):
        map_tensors(tmp_path / "x.safetensors")
    with pytest.raises(ArtefactError):
        map_tensors(tmp_path / "absent.safetensors")
