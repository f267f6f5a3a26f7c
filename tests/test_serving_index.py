"""Nearest neighbours without the hidden ones, and memory-mapped tensors."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file

from graphkit.bundle_format import IndexMeta
from graphkit.errors import ArtefactError
from graphkit.serving.index import ItemIndex
from graphkit.serving.mapped import map_histories, map_tensors
from graphkit.user_features import History, Pool, save_histories
from towers.index import build_index

NUM_ITEMS, DIM = 60, 8


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    vectors = np.random.default_rng(5).normal(size=(NUM_ITEMS, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture(scope="module")
def index(vectors: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> ItemIndex:
    path = tmp_path_factory.mktemp("index") / "x.ann"
    meta = IndexMeta(file=path.name, dim=DIM, num_items=NUM_ITEMS, trees=5, search_k=100_000)
    build_index(path, vectors, meta, seed=0)
    return ItemIndex(path, meta, vectors)


@given(
    query=st.integers(0, NUM_ITEMS - 1),
    k=st.integers(1, NUM_ITEMS + 5),
    hidden=st.sets(st.integers(0, NUM_ITEMS - 1)),
    search_k=st.sampled_from([1, 50, 100_000]),
)
def test_top_gives_k_items_that_are_not_hidden_best_first(
    index: ItemIndex, vectors: np.ndarray, query: int, k: int, hidden: set[int], search_k: int
) -> None:
    items, scores = index.top(vectors[query], k, np.array(sorted(hidden), dtype=np.int64), search_k)
    assert len(items) == min(k, NUM_ITEMS - len(hidden))
    assert hidden.isdisjoint(items.tolist())
    exact = np.where(np.isin(np.arange(NUM_ITEMS), sorted(hidden)), -np.inf, vectors @ vectors[query])
    np.testing.assert_allclose(scores, exact[items], atol=1e-6)
    assert (np.diff(scores) <= 0).all()
    if search_k == 100_000:
        np.testing.assert_allclose(scores, np.sort(exact)[::-1][: len(items)], atol=1e-6)


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
