"""Items without an edge take in-edges from the likest texts; nothing else changes."""

from __future__ import annotations

import numpy as np
import pytest

from graphkit.graph.store import PLAYLIST, CoListeningGraph, Csc, Relation
from graphkit.hgnn.text_neighbours import with_text_neighbours
from tests.hgnn_graphs import both_directions, co

TEXT = np.array([[1, 0], [0.8, 0.6], [0, 1], [2, 0.1], [0, 0], [-1, 0]], np.float32)


def graph_with(pairs: dict, text: dict[str, np.ndarray]) -> CoListeningGraph:
    sizes = {t: len(rows) for t, rows in text.items()}
    return CoListeningGraph(sizes, both_directions(pairs, sizes), text)


def in_edges(csc: Csc, node: int) -> dict[int, float]:
    edges = slice(csc.indptr[node], csc.indptr[node + 1])
    return dict(zip(csc.indices[edges].tolist(), csc.weight[edges].tolist(), strict=True))


def test_by_hand() -> None:
    """Podcasts 0, 1 and 2 have edges; 3 is lonely, 4 has no text, 5 is unlike all of them."""
    graph = graph_with({("p", "p"): [(0, 1), (1, 2)]}, {"p": TEXT})
    before, after = graph.relations[co("p", "p")], with_text_neighbours(graph, 2).relations[co("p", "p")]
    length = float(np.hypot(2, 0.1))
    assert in_edges(after, 3) == pytest.approx({0: 2 / length, 1: (1.6 + 0.06) / length})
    assert in_edges(after, 4) == {}
    assert in_edges(after, 5) == pytest.approx({1: 1e-3, 2: 1e-3}, abs=1e-6)  # no negative weight
    for node in range(3):
        assert in_edges(after, node) == in_edges(before, node)
    assert in_edges(before, 3) == {}  # the graph that was given is as it was


def test_none_are_asked_for_or_none_can_be_had() -> None:
    graph = graph_with({("p", "p"): [(0, 1)]}, {"p": TEXT})
    assert with_text_neighbours(graph, 0) == graph
    assert in_edges(with_text_neighbours(graph, 99).relations[co("p", "p")], 3).keys() == {0, 1}
    bipartite = graph_with({("a", "p"): [(0, 1)]}, {"a": TEXT, "p": TEXT})  # no relation of a type with itself
    after = with_text_neighbours(bipartite, 2)
    assert all(after.relations[r] is csc for r, csc in bipartite.relations.items())


def test_an_item_with_an_edge_of_any_kind_is_not_lonely() -> None:
    pairs = {("p", "p"): [(0, 1)], ("p", PLAYLIST, "p"): [(2, 3)], ("a", "p"): [(0, 5)]}
    after = with_text_neighbours(graph_with(pairs, {"a": TEXT, "p": TEXT}), 2)
    assert {node for node in range(6) if in_edges(after.relations[co("p", "p")], node)} == {0, 1}
    assert in_edges(after.relations[Relation("p", PLAYLIST, "p")], 4) == {}


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    text = rng.standard_normal((60, 5)).astype(np.float32)
    graph = graph_with({("p", "p"): [(i, i + 1) for i in range(25)]}, {"p": text})
    whole = with_text_neighbours(graph, 4).relations[co("p", "p")]
    monkeypatch.setattr("graphkit.hgnn.text_neighbours._SCORES", 100)
    parts = with_text_neighbours(graph, 4).relations[co("p", "p")]
    np.testing.assert_array_equal(whole.indptr, parts.indptr)
    np.testing.assert_array_equal(whole.indices, parts.indices)
    assert np.diff(whole.indptr)[26:].tolist() == [4] * 34
