"""The links of a graph, and that nothing which gives a target away passes messages."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphkit.graph.store import PLAYLIST, Relation
from graphkit.hgnn.blocks import Block, sample_blocks
from graphkit.hgnn.graph_tensors import GraphTensors
from graphkit.hgnn.links import LinkSets, exclusion, find_links, without
from tests.hgnn_graphs import co, edge_set, graph_of, joined_nodes, pairs_of, random_graph, tangled_graph

MAKERS = [random_graph, tangled_graph]


def test_links_are_found_once_with_both_their_edges() -> None:
    features = {"a": np.ones((3, 1)), "p": np.ones((2, 1))}
    links = find_links(graph_of({("a", "a"): [(0, 1), (1, 2)], ("a", "p"): [(0, 1), (2, 0)]}, features))
    assert list(links) == [co("a", "a"), co("a", "p")]
    assert pairs_of(links[co("a", "a")]) == [(0, 1), (1, 2)]
    # In-edges by destination, then source: 1→0, 0→1, 2→1, 1→2.
    assert places(links[co("a", "a")].edges) == [(co("a", "a"), [1, 3]), (co("a", "a"), [0, 2])]
    assert pairs_of(links[co("a", "p")]) == [(2, 0), (0, 1)]
    assert places(links[co("a", "p")].edges) == [(co("a", "p"), [0, 1]), (co("p", "a"), [1, 0])]


def test_an_edge_in_one_direction_is_a_link_too() -> None:
    graph = graph_of({("a", "p"): [(0, 0), (1, 1)]}, {"a": np.ones((2, 1)), "p": np.ones((2, 1))})
    there, back = co("a", "p"), co("p", "a")
    forward, backward = torch.tensor([True, False]), torch.tensor([False, True])
    graph.relations[there], graph.relations[back] = (
        graph.relations[there].keep(forward),
        graph.relations[back].keep(backward),
    )
    links = find_links(graph)
    assert {relation: pairs_of(of_it) for relation, of_it in links.items()} == {there: [(0, 0), (1, 1)]}
    assert places(links[there].edges) == [(there, [0, -1]), (back, [-1, 0])]
    assert {r: mask.tolist() for r, mask in exclusion(graph, links).items()} == {there: [True], back: [True]}


def test_the_edges_of_another_kind_between_the_same_two_items_belong_to_the_link() -> None:
    playlist = Relation("a", PLAYLIST, "p")
    features = {"a": np.ones((2, 1)), "p": np.ones((2, 1))}
    graph = graph_of({("a", "p"): [(0, 0), (1, 1)], playlist: [(0, 1), (1, 1)]}, features)
    links = find_links(graph)
    assert places(links[co("a", "p")].edges) == [
        (co("a", "p"), [0, 1]), (co("p", "a"), [0, 1]), (playlist, [-1, 1]), (playlist.reverse, [-1, 1]),
    ]  # fmt: skip


@pytest.mark.parametrize("make_graph", MAKERS)
@settings(deadline=None, max_examples=10)
@given(st.integers(0, 999))
def test_every_edge_is_of_one_link(make_graph: Callable[[int], GraphTensors], seed: int) -> None:
    graph = make_graph(seed)
    links = find_links(graph)
    for relation, of_it in links.items():
        pairs = {frozenset(((relation.src, s), (relation.dst, d))) for s, d in pairs_of(of_it)}
        assert len(pairs) == len(of_it)
        assert pairs == joined_nodes(graph, relation) | joined_nodes(graph, relation.reverse)
        assert not relation.same_type or bool((of_it.src < of_it.dst).all())
        assert relation.reverse not in links or relation.same_type


@pytest.mark.parametrize("make_graph", MAKERS)
@settings(deadline=None, max_examples=10)
@given(st.integers(0, 999))
def test_nothing_that_joins_the_ends_of_a_target_passes_messages(
    make_graph: Callable[[int], GraphTensors], seed: int
) -> None:
    graph = make_graph(seed)
    batch = some_of(find_links(graph), 3)
    hidden = ends_of(batch)
    seeds = {t: torch.arange(n) for t, n in graph.num_nodes.items()}
    blocks = sample_blocks(graph, seeds, (50, 50), torch.Generator().manual_seed(seed), exclusion(graph, batch))
    for block in blocks:
        for relation in graph.relations:
            passed = block_edges(block, relation)
            # With more fan-out than neighbours, everything else passes.
            assert passed == {
                (s, d)
                for s, d in edge_set(graph, relation)
                if frozenset(((relation.src, s), (relation.dst, d))) not in hidden
            }


@pytest.mark.parametrize("make_graph", MAKERS)
def test_held_out_links_leave_in_every_direction_and_kind(make_graph: Callable[[], GraphTensors]) -> None:
    graph = make_graph()
    held = some_of(find_links(graph), 4)
    rest = without(graph, held)
    for relation in graph.relations:
        assert joined_nodes(rest, relation) == joined_nodes(graph, relation) - ends_of(held)
    left = find_links(rest)
    assert ends_of(left) == ends_of(find_links(graph)) - ends_of(held)


def places(edges) -> list[tuple[Relation, list[int]]]:
    return [(relation, position.tolist()) for relation, position in edges]


def some_of(links: LinkSets, step: int) -> LinkSets:
    return {relation: of_it.take(torch.arange(0, len(of_it), step)) for relation, of_it in links.items()}


def ends_of(links: LinkSets) -> set[frozenset[tuple[str, int]]]:
    return {frozenset(((r.src, s), (r.dst, d))) for r, of_it in links.items() for s, d in pairs_of(of_it)}


def block_edges(block: Block, relation: Relation) -> set[tuple[int, int]]:
    """(source id, destination id) of a block's edges, each there once."""
    edges = block.relations[relation]
    sources = block.src_nodes[relation.src][edges.indices.long()].tolist()
    destinations = block.src_nodes[relation.dst][edges.destinations()].tolist()
    pairs = list(zip(sources, destinations, strict=True))
    assert len(set(pairs)) == len(pairs)
    return set(pairs)
