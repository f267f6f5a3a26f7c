"""Which links an epoch draws, which neighbours a node gets, and that targets never pass messages."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphkit.config.sections import HgnnSection
from graphkit.errors import ArtefactError
from graphkit.hgnn.blocks import Block, draw_distinct, sample_blocks, sample_in_edges
from graphkit.hgnn.graph_tensors import GraphTensors, InEdges
from graphkit.hgnn.links import exclusion, find_links, without
from graphkit.hgnn.negatives import Rejection, draw_pools
from graphkit.hgnn.sampler import batches, draw_counts, draw_epoch, num_batches
from tests.hgnn_graphs import graph_of, random_graph

AA, AP, PP = ("audiobook", "audiobook"), ("audiobook", "podcast"), ("podcast", "podcast")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def edge_set(graph: GraphTensors, relation: tuple[str, str]) -> set[tuple[int, int]]:
    edges = graph.relations[relation]
    return set(zip(edges.indices.tolist(), edges.destinations().tolist(), strict=True))


def block_edges(block: Block, relation: tuple[str, str]) -> list[tuple[int, int]]:
    """(source id, destination id) of a block's edges."""
    edges, (src, dst) = block.relations[relation], relation
    sources = block.src_nodes[src][edges.indices.long()].tolist()
    destinations = block.src_nodes[dst][edges.destinations()].tolist()
    return list(zip(sources, destinations, strict=True))


# --- how many links -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("available", "floor", "cap", "expected"),
    [
        ((30, 100, 900), 1, 1000, (30, 30, 30)),  # as many of each as the smallest has
        ((30, 100, 900), 200, 1000, (30, 100, 200)),  # the floor, but never more than there are
        ((300, 100, 900), 1, 50, (50, 50, 50)),  # the cap
        ((0, 100, 900), 1, 1000, (None, 100, 100)),  # an empty relation sets no standard
        ((0, 0, 0), 1, 1000, (None, None, None)),
    ],
)
def test_balanced_counts(available, floor, cap, expected) -> None:
    config = HgnnSection(min_edges_per_relation=floor, max_edges_per_relation=cap)
    counts = draw_counts(dict(zip((AA, AP, PP), available, strict=True)), config)
    assert tuple(counts.get(relation) for relation in (AA, AP, PP)) == expected


def test_unbalanced_counts_keep_the_proportions_under_the_cap() -> None:
    available = {AA: 30, AP: 100, PP: 900}
    all_of_them = HgnnSection(sampler="unbalanced", max_edges_per_relation=1000)
    assert draw_counts(available, all_of_them) == available
    capped = HgnnSection(sampler="unbalanced", max_edges_per_relation=90)
    assert draw_counts(available, capped) == {AA: 3, AP: 10, PP: 90}


def test_an_epoch_repeats_no_link_and_the_next_draws_others() -> None:
    links = find_links(random_graph())
    counts = dict.fromkeys(links, 12)
    first, second = (draw_epoch(links, counts, seeded(seed)) for seed in (1, 2))
    for relation, of_it in first.items():
        pairs = set(zip(of_it.src.tolist(), of_it.dst.tolist(), strict=True))
        assert len(pairs) == 12
        assert pairs <= edge_set_unordered(links, relation)
        assert pairs != set(zip(second[relation].src.tolist(), second[relation].dst.tolist(), strict=True))


def edge_set_unordered(links, relation) -> set[tuple[int, int]]:
    return set(zip(links[relation].src.tolist(), links[relation].dst.tolist(), strict=True))


@settings(deadline=None, max_examples=30)
@given(batch_size=st.integers(1, 40), count=st.integers(1, 12))
def test_batches_hold_every_drawn_link_once_with_every_relation_mixed_in(batch_size: int, count: int) -> None:
    links = find_links(random_graph())
    available = {relation: 10 * len(of_it) for relation, of_it in links.items()}  # no relation is too small
    drawn = draw_epoch(links, dict.fromkeys(links, count), seeded())
    seen = Counter()
    for batch in batches(drawn, available, batch_size):
        sizes = [len(of_it) for of_it in batch.values()] + [0] * (len(drawn) - len(batch))
        assert max(sizes) - min(sizes) <= 1
        assert sum(sizes) <= batch_size + len(drawn)
        for relation, of_it in batch.items():
            seen.update((relation, int(position)) for position in of_it.forward)
    assert seen == Counter((r, int(position)) for r, of_it in drawn.items() for position in of_it.forward)


def test_no_batch_hides_more_than_a_tenth_of_a_relation() -> None:
    assert num_batches({AA: 50, PP: 50}, {AA: 50, PP: 5000}, batch_size=1000) == 10
    assert num_batches({AA: 50, PP: 50}, {AA: 5000, PP: 5000}, batch_size=25) == 4


# --- which neighbours -----------------------------------------------------------------------------


def test_links_are_found_once_with_both_their_edges() -> None:
    graph = graph_of(
        {("a", "a"): [(0, 1), (1, 2)], ("a", "p"): [(0, 1), (2, 0)]}, {"a": np.ones((3, 1)), "p": np.ones((2, 1))}
    )
    links = find_links(graph)
    assert set(links) == {("a", "a"), ("a", "p")}
    for (src, dst), of_it in links.items():
        there, back = graph.relations[src, dst], graph.relations[dst, src]
        assert there.indices[of_it.forward].tolist() == of_it.src.tolist()
        assert there.destinations()[of_it.forward].tolist() == of_it.dst.tolist()
        assert back.indices[of_it.reverse].tolist() == of_it.dst.tolist()
        assert back.destinations()[of_it.reverse].tolist() == of_it.src.tolist()
    assert edge_set_unordered(links, ("a", "a")) == {(0, 1), (1, 2)}
    assert edge_set_unordered(links, ("a", "p")) == {(0, 1), (2, 0)}


def test_an_edge_without_its_reverse_is_refused() -> None:
    graph = graph_of({("a", "p"): [(0, 0), (1, 1)]}, {"a": np.ones((2, 1)), "p": np.ones((2, 1))})
    one_way = graph.relations["p", "a"].keep(torch.tensor([True, False]))
    broken = GraphTensors(graph.num_nodes, {**graph.relations, ("p", "a"): one_way}, graph.features)
    with pytest.raises(ArtefactError, match="without its reverse"):
        find_links(broken)


def test_held_out_links_leave_in_both_directions() -> None:
    graph = random_graph()
    links = find_links(graph)
    held = {relation: of_it.take(torch.arange(5)) for relation, of_it in links.items()}
    rest = without(graph, held)
    for (src, dst), of_it in held.items():
        gone = edge_set_unordered(held, (src, dst))
        back = {(d, s) for s, d in gone}
        both = gone | back if src == dst else gone
        assert edge_set(rest, (src, dst)) == edge_set(graph, (src, dst)) - both
        assert edge_set(rest, (dst, src)) == edge_set(graph, (dst, src)) - (both if src == dst else back)
        assert len(of_it) == 5


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=8), st.integers(1, 6), st.integers(0, 99))
def test_sampled_in_edges_are_real_distinct_and_at_most_the_fan_out(degrees, fan_out, seed) -> None:
    indptr = torch.tensor([0, *np.cumsum(degrees)])
    edges = InEdges(indptr, torch.arange(100, 100 + sum(degrees), dtype=torch.int32))
    dst = torch.randperm(len(degrees), generator=seeded(seed))
    sampled = sample_in_edges(edges, dst, fan_out, seeded(seed))
    for row, node in enumerate(dst.tolist()):
        got = sampled.indices[sampled.indptr[row] : sampled.indptr[row + 1]].tolist()
        assert set(got) <= set(edges.indices[indptr[node] : indptr[node + 1]].tolist())
        assert len(set(got)) == len(got) == min(degrees[node], fan_out)


def test_every_subset_is_equally_likely() -> None:
    """3 of 5: each of the 10 subsets has a tenth of 20,000 draws, within five standard deviations (212)."""
    drawn = draw_distinct(torch.full((20_000,), 5), 3, seeded())
    subsets = Counter(tuple(sorted(row)) for row in drawn.tolist())
    assert len(subsets) == 10
    assert all(abs(count - 2000) < 212 for count in subsets.values())


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 999))
def test_targets_and_their_reverses_pass_no_messages(seed: int) -> None:
    graph = random_graph(seed)
    links = find_links(graph)
    batch = {relation: of_it.take(torch.arange(0, len(of_it), 3)) for relation, of_it in links.items()}
    forbidden = {r: edge_set_unordered(batch, r) for r in batch}
    for (src, dst), pairs in list(forbidden.items()):
        back = {(d, s) for s, d in pairs}
        forbidden[dst, src] = forbidden.get((dst, src), set()) | back
    seeds = {t: torch.arange(n) for t, n in graph.num_nodes.items()}
    blocks = sample_blocks(graph, seeds, (50, 50), seeded(seed), exclusion(graph, batch))
    for block in blocks:
        for relation in graph.relations:
            passed = block_edges(block, relation)
            assert not set(passed) & forbidden[relation]
            # With more fan-out than neighbours, everything else passes.
            assert set(passed) == edge_set(graph, relation) - forbidden[relation]


def test_blocks_hold_their_destinations_first_and_no_node_twice() -> None:
    graph = random_graph()
    seeds = {"audiobook": torch.tensor([11, 2]), "podcast": torch.tensor([], dtype=torch.int64)}
    first, last = sample_blocks(graph, seeds, (2, 3), seeded(), {})
    assert last.src_nodes["audiobook"][:2].tolist() == [11, 2]
    assert last.num_dst == {"audiobook": 2, "podcast": 0}
    for node_type, nodes in last.src_nodes.items():
        assert len(set(nodes.tolist())) == len(nodes)
        assert first.src_nodes[node_type][: len(nodes)].tolist() == nodes.tolist()
        assert first.num_dst[node_type] == len(nodes)


# --- negatives ------------------------------------------------------------------------------------


def test_pools_of_the_catalogue_and_of_each_type() -> None:
    sizes = {"audiobook": 20, "podcast": 80}
    pools = draw_pools(sizes, 50, True, seeded())
    assert sum(map(len, pools.values())) == 50
    assert all(int(pool.max()) < sizes[t] and len(set(pool.tolist())) == len(pool) for t, pool in pools.items())
    assert {t: len(pool) for t, pool in draw_pools(sizes, 50, False, seeded()).items()} == {
        "audiobook": 20,
        "podcast": 50,
    }
    everything = draw_pools(sizes, 500, True, seeded())
    assert {t: sorted(pool.tolist()) for t, pool in everything.items()} == {
        t: list(range(n)) for t, n in sizes.items()
    }


def test_neighbours_and_the_anchor_itself_are_no_negatives() -> None:
    graph = random_graph()
    pools = {"audiobook": torch.tensor([3, 18, 0]), "podcast": torch.randperm(30, generator=seeded())[:12]}
    rejection = Rejection(graph, pools)
    anchors = torch.tensor([5, 0, 5, 19])
    for pool_type, pool in pools.items():
        edges = edge_set(graph, ("audiobook", pool_type))
        expected = [
            [(a, n) in edges or (pool_type == "audiobook" and a == n) for n in pool.tolist()]
            for a in anchors.tolist()
        ]
        assert rejection.mask("audiobook", anchors, pool_type).tolist() == expected
