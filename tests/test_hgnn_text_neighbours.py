"""Items without an edge take in-edges from the likest texts; nothing else changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from graphkit.config import Config
from graphkit.graph.store import PLAYLIST, CoListeningGraph, Csc, Relation
from graphkit.hgnn.embed_new import embed_new
from graphkit.hgnn.extend_graph import NewEdges, extend_graph
from graphkit.hgnn.graph_tensors import to_tensors
from graphkit.hgnn.infer import embed_graph
from graphkit.hgnn.model_file import save_model
from graphkit.hgnn.neighbours import load_pooling
from graphkit.hgnn.text_neighbours import with_text_neighbours
from tests.hgnn_graphs import CPU, both_directions, co
from tests.test_hgnn_model import new_model

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


def test_who_may_have_text_neighbours_and_who_may_be_one() -> None:
    graph = graph_with({("p", "p"): [(0, 1), (1, 2)]}, {"p": TEXT})
    rows, among = np.array([True, True, True, True, False, False]), np.array([False, True, True, False, False, False])
    after = with_text_neighbours(graph, 9, {"p": rows}, {"p": among}).relations[co("p", "p")]
    assert in_edges(after, 3).keys() == {1, 2}
    assert in_edges(after, 5) == {}


def test_a_new_item_leaves_the_catalogue_s_text_neighbours_alone(tmp_path: Path) -> None:
    """Podcast 3 has no edge. New podcast 6 is linked from it and has nearly its text, new podcast 7 has no edge."""
    graph = graph_with({("p", "p"): [(0, 1), (1, 2)]}, {"p": TEXT})
    tensors = to_tensors(graph, CPU)
    model = new_model(tensors, (2, 4, 4), aggregator="mean", num_ids={"p": 6})
    save_model(tmp_path / "model", model)
    config = Config.model_validate({"hgnn": {"text_neighbours": 2, "device": "cpu"}, "run": {"threads": 1}})
    text = {"p": np.array([[2, 0.11], [1, 0.05]], np.float32)}
    edges = {co("p", "p"): NewEdges(np.array([3]), np.array([6]), np.ones(1, np.float32))}
    found = embed_new(tmp_path / "model", graph, text, edges, config).vectors["p"]
    of_catalogue = with_text_neighbours(graph, 2)  # what podcast 3 had before
    neighbours = {co("p", "p"): NewEdges(np.array([3, 0, 1]), np.array([6, 7, 7]), weights_of(text["p"][1]))}
    whole = embed_graph(model, to_tensors(extend_graph(of_catalogue, text, neighbours), CPU), load_pooling("torch"))
    np.testing.assert_allclose(found, whole["p"][6:].numpy(), atol=1e-6)


def weights_of(text: np.ndarray) -> np.ndarray:
    """Of the edge into podcast 6, and the cosines of ``text`` with podcasts 0 and 1."""
    unit = TEXT[:2] / np.linalg.norm(TEXT[:2], axis=1, keepdims=True)
    return np.array([1, *(unit @ (text / np.linalg.norm(text)))], np.float32)
