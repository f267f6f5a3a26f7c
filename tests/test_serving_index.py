"""Nearest neighbours with their dot products and the spread of all, and memory-mapped tensors."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from safetensors.numpy import save_file
from small_index import DIM, NUM_ITEMS, make_index, unit_vectors

from graphkit.errors import ArtefactError
from graphkit.serving.index import ItemIndex
from graphkit.serving.mapped import map_histories, map_tensors
from graphkit.user_features import History, Pool, save_histories


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return unit_vectors()


@pytest.fixture(scope="module")
def index(vectors: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> ItemIndex:
    return make_index(tmp_path_factory.mktemp("index"), vectors)


@given(query=st.integers(0, NUM_ITEMS - 1), n=st.integers(1, NUM_ITEMS))
def test_nearest_gives_the_n_best_best_first(index: ItemIndex, vectors: np.ndarray, query: int, n: int) -> None:
    items, scores = index.nearest(vectors[query], n)
    exact = vectors @ vectors[query]
    assert len(set(items.tolist())) == n
    np.testing.assert_allclose(scores, np.sort(exact)[::-1][:n], atol=1e-6)
    np.testing.assert_allclose(scores, exact[items], atol=1e-6)


@given(query=st.integers(0, NUM_ITEMS - 1), n=st.integers(1, NUM_ITEMS))
def test_nearest_scores_all_items_where_the_search_gives_fewer(
    index: ItemIndex, vectors: np.ndarray, query: int, n: int
) -> None:
    # What a search of removed trees or of one node gives: not enough.
    poor = mock.Mock(get_nns_by_vector=mock.Mock(return_value=[query][: n - 1]))
    with mock.patch.object(index, "_annoy", poor):
        items, scores = index.nearest(vectors[query], n)
    np.testing.assert_array_equal(items, np.argsort(-(vectors @ vectors[query]), kind="stable")[:n])
    np.testing.assert_allclose(scores, np.sort(vectors @ vectors[query])[::-1][:n], atol=1e-6)


def test_dots_are_those_of_the_items_asked_for(index: ItemIndex, vectors: np.ndarray) -> None:
    items = np.array([7, 3, 7, 59])
    np.testing.assert_allclose(
        index.dots(vectors[0], items), [vectors[0] @ vectors[item] for item in items], atol=1e-6
    )
    assert index.dots(vectors[0], np.array([], dtype=np.int64)).shape == (0,)


@given(queries=arrays(np.float32, (3, DIM), elements=st.floats(-10, 10, width=32)))
def test_a_spread_is_the_standard_deviation_of_all_dot_products(
    index: ItemIndex, vectors: np.ndarray, queries: np.ndarray
) -> None:
    everything = queries.astype(np.float64) @ vectors.T.astype(np.float64)  # [3, NUM_ITEMS]
    np.testing.assert_allclose(index.spreads(queries), everything.std(axis=1), rtol=1e-4, atol=1e-6)


def test_the_spread_of_many_items_is_summed_up_in_parts(
    index: ItemIndex, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("graphkit.serving.index._ROWS", 7)
    monkeypatch.delitem(index.__dict__, "_covariance", raising=False)
    np.testing.assert_allclose(index.spreads(vectors[4:6]), (vectors[4:6] @ vectors.T).std(axis=1), rtol=1e-4)


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
