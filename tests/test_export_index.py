"""The Annoy index and its recall, on vectors whose neighbours are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from graphkit.bundle_format import IndexMeta
from graphkit.errors import GraphkitError
from towers.index import build_index, open_index, recall


def unit_vectors(num_items: int, dim: int) -> np.ndarray:
    vectors = np.random.default_rng(3).normal(size=(num_items, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def meta(num_items: int, dim: int, trees: int = 10, search_k: int = 10_000) -> IndexMeta:
    return IndexMeta(file="x.ann", dim=dim, num_items=num_items, trees=trees, search_k=search_k)


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    vectors = unit_vectors(500, 16)
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        build_index(tmp_path / name, vectors, meta(500, 16), seed)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
    assert (tmp_path / "a").read_bytes() != (tmp_path / "c").read_bytes()


def test_an_index_that_looks_everywhere_ranks_by_dot_product(tmp_path: Path) -> None:
    vectors = unit_vectors(300, 8)
    build_index(tmp_path / "all", vectors, meta(300, 8), seed=0)
    index = open_index(tmp_path / "all", meta(300, 8))
    query = vectors[7] + vectors[8]
    found = index.get_nns_by_vector(query, 20, search_k=1_000_000)
    assert found == np.argsort(-(vectors @ query))[:20].tolist()


def test_recall_counts_what_a_narrow_search_misses(tmp_path: Path) -> None:
    vectors = unit_vectors(2000, 32)
    wide, narrow = meta(2000, 32), meta(2000, 32, search_k=200)
    build_index(tmp_path / "x.ann", vectors, wide, seed=0)
    index = open_index(tmp_path / "x.ann", wide)
    exact = np.argsort(-(vectors[:5] @ vectors.T), axis=1)[:, :100]
    found = [index.get_nns_by_vector(query, 100, search_k=200) for query in vectors[:5]]
    by_hand = np.mean([len(set(a) & set(b)) / 100 for a, b in zip(exact, found, strict=True)])
    assert recall(index, narrow, vectors, vectors[:5]) == pytest.approx(by_hand)
    assert by_hand < 0.9 < recall(index, wide, vectors, vectors[:5])


def test_tied_items_count_as_found(tmp_path: Path) -> None:
    vectors = np.tile(np.array([[1.0, 0.0]], dtype=np.float32), (250, 1))
    build_index(tmp_path / "x.ann", vectors, meta(250, 2), seed=0)
    assert recall(open_index(tmp_path / "x.ann", meta(250, 2)), meta(250, 2), vectors, vectors[:3]) == 1.0


def test_vectors_that_are_not_normalised_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GraphkitError, match="not L2-normalised"):
        build_index(tmp_path / "x.ann", 2 * unit_vectors(10, 4), meta(10, 4), seed=0)
