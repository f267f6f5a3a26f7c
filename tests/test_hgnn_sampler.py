"""Which links an epoch draws, which neighbours a node gets, and which nodes are its negatives."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphkit.config.hgnn import HgnnSection
from graphkit.errors import ConfigError
from graphkit.hgnn.blocks import sample_blocks, sample_in_edges
from graphkit.hgnn.draws import draw_distinct
from graphkit.hgnn.graph_tensors import GraphTensors, InEdges
from graphkit.hgnn.links import Links, find_links
from graphkit.hgnn.negatives import Rejection, draw_pools, type_groups
from graphkit.hgnn.sampler import batches, coverage, draw_counts, draw_epoch, num_batches
from tests.hgnn_graphs import co, graph_of, joined_nodes, pairs_of, random_graph, tangled_graph

AA, AP, PP = co("audiobook", "audiobook"), co("audiobook", "podcast"), co("podcast", "podcast")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


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


@pytest.mark.parametrize(
    ("reference", "expected"),
    [("podcast-podcast", (30, 100, 900)), ("audiobook-podcast", (30, 100, 100)), (None, (30, 30, 30))],
)
def test_a_reference_relation_sets_the_number(reference: str | None, expected: tuple[int, ...]) -> None:
    config = HgnnSection(min_edges_per_relation=1, max_edges_per_relation=1000, reference_relation=reference)
    counts = draw_counts({AA: 30, AP: 100, PP: 900}, config)
    assert (counts[AA], counts[AP], counts[PP]) == expected


def test_the_floor_and_the_cap_hold_for_a_reference_relation_too() -> None:
    config = HgnnSection(
        min_edges_per_relation=50, max_edges_per_relation=60, reference_relation="audiobook-audiobook"
    )
    assert draw_counts({AA: 30, AP: 100, PP: 900}, config) == {AA: 30, AP: 50, PP: 50}
    config = config.model_copy(update={"reference_relation": "podcast-podcast"})
    assert draw_counts({AA: 30, AP: 100, PP: 900}, config) == {AA: 30, AP: 60, PP: 60}


@pytest.mark.parametrize("reference", ["audiobook-audiobok", "audiobook-audiobook"])
def test_a_reference_relation_must_be_there_and_have_links(reference: str) -> None:
    with pytest.raises(ConfigError, match="known: audiobook-podcast, podcast-podcast"):
        draw_counts({AA: 0, AP: 100, PP: 900}, HgnnSection(reference_relation=reference))
    with pytest.raises(ConfigError, match="did you mean 'audiobook-podcast'"):
        draw_counts({AP: 100, PP: 900}, HgnnSection(reference_relation="audiobook-podcasts"))
    with pytest.raises(ConfigError, match="audiobook-podcasts"):  # whatever the sampler
        draw_counts({AP: 100}, HgnnSection(reference_relation="audiobook-podcasts", sampler="unbalanced"))


@settings(deadline=None, max_examples=60)
@given(available=st.integers(1, 40), data=st.data())
def test_epochs_go_round_all_links_before_any_comes_again(available: int, data: st.DataObject) -> None:
    """No link twice in an epoch, as many as asked for, all of them after ceil(n / count) epochs, and again after as
    many more; until then the coverage is exactly what was seen."""
    count = data.draw(st.integers(1, available))
    links = {PP: Links(torch.arange(available), torch.arange(available) + 100, ())}
    lap = math.ceil(available / count)
    seen: set[tuple[int, int]] = set()
    for epoch in range(1, 2 * lap + 1):
        drawn = pairs_of(draw_epoch(links, {PP: count}, 3, epoch)[PP])
        assert len(set(drawn)) == len(drawn) == count
        assert set(drawn) <= set(pairs_of(links[PP]))
        seen |= set(drawn)
        if epoch <= lap:
            assert coverage({PP: count}, {PP: available}, epoch) == {PP: len(seen) / available}
        if epoch in (lap, 2 * lap):
            assert len(seen) == available
            seen = set()
    assert coverage({PP: count}, {PP: available}, 2 * lap) == {PP: 1.0}


def test_a_draw_depends_on_seed_relation_and_epoch_and_on_nothing_else() -> None:
    links = {r: Links(torch.arange(500), torch.arange(500), ()) for r in (AA, PP)}
    counts = {AA: 200, PP: 200}

    def drawn(seed: int, epoch: int) -> dict:
        return {relation: of_it.src.tolist() for relation, of_it in draw_epoch(links, counts, seed, epoch).items()}

    assert drawn(1, 4) == drawn(1, 4)
    assert drawn(1, 4)[PP] == draw_epoch({PP: links[PP]}, {PP: 200}, 1, 4)[PP].src.tolist()
    lists = [
        drawn(1, 1)[AA],
        drawn(1, 1)[PP],
        drawn(2, 1)[AA],
        drawn(1, 4)[AA],
    ]  # 3 epochs are a lap: 4 starts another
    assert len({tuple(numbers) for numbers in lists}) == 4
    assert sorted(lists[0]) != lists[0]


@settings(deadline=None, max_examples=30)
@given(batch_size=st.integers(1, 40), count=st.integers(1, 12))
def test_batches_hold_every_drawn_link_once_with_every_relation_mixed_in(batch_size: int, count: int) -> None:
    links = find_links(random_graph())
    available = {relation: 10 * len(of_it) for relation, of_it in links.items()}  # no relation is too small
    drawn = draw_epoch(links, dict.fromkeys(links, count), seed=0, epoch=1)
    seen = Counter()
    for batch in batches(drawn, available, batch_size):
        sizes = [len(of_it) for of_it in batch.values()] + [0] * (len(drawn) - len(batch))
        assert max(sizes) - min(sizes) <= 1
        assert sum(sizes) <= batch_size + len(drawn)
        for relation, of_it in batch.items():
            seen.update((relation, *ends) for ends in pairs_of(of_it))
    assert seen == Counter((r, *ends) for r, of_it in drawn.items() for ends in pairs_of(of_it))


def test_no_batch_hides_more_than_a_tenth_of_a_relation() -> None:
    assert num_batches({AA: 50, PP: 50}, {AA: 50, PP: 5000}, batch_size=1000) == 10
    assert num_batches({AA: 50, PP: 50}, {AA: 5000, PP: 5000}, batch_size=25) == 4


# --- which neighbours -----------------------------------------------------------------------------


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=8), st.integers(1, 6), st.integers(0, 99))
def test_sampled_in_edges_are_real_distinct_and_at_most_the_fan_out(degrees, fan_out, seed) -> None:
    indptr = torch.tensor([0, *np.cumsum(degrees)])
    edges = InEdges(indptr, torch.arange(100, 100 + sum(degrees), dtype=torch.int32))
    dst = torch.randperm(len(degrees), generator=seeded(seed))
    sampled = sample_in_edges(edges, dst, fan_out, seed)
    for row, node in enumerate(dst.tolist()):
        got = sampled.indices[sampled.indptr[row] : sampled.indptr[row + 1]].tolist()
        assert set(got) <= set(edges.indices[indptr[node] : indptr[node + 1]].tolist())
        assert len(set(got)) == len(got) == min(degrees[node], fan_out)


def test_every_subset_is_equally_likely() -> None:
    """3 of 5: each of the 10 subsets has a tenth of 20,000 draws, within five standard deviations (212)."""
    drawn = draw_distinct(torch.full((20_000,), 5), 3, torch.arange(20_000), 0)
    subsets = Counter(tuple(sorted(row)) for row in drawn.tolist())
    assert len(subsets) == 10
    assert all(abs(count - 2000) < 212 for count in subsets.values())


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
    together, apart = [("audiobook", "podcast")], [("audiobook",), ("podcast",)]
    pools = draw_pools(sizes, together, 50, seeded())
    assert sum(map(len, pools.values())) == 50
    assert all(int(pool.max()) < sizes[t] and len(set(pool.tolist())) == len(pool) for t, pool in pools.items())
    assert {t: len(pool) for t, pool in draw_pools(sizes, apart, 50, seeded()).items()} == {
        "audiobook": 20,
        "podcast": 50,
    }
    everything = draw_pools(sizes, together, 500, seeded())
    assert {t: sorted(pool.tolist()) for t, pool in everything.items()} == {
        t: list(range(n)) for t, n in sizes.items()
    }


def test_users_are_no_part_of_the_catalogue() -> None:
    graph = tangled_graph()
    assert type_groups(graph, whole_catalogue=True) == [("audiobook", "podcast"), ("user",)]
    assert type_groups(graph, whole_catalogue=False) == [("audiobook",), ("podcast",), ("user",)]
    items = {"user": np.ones((2, 1)), "podcast": np.ones((2, 1))}  # a platform may call a type of items that
    assert graph_of({("user", "podcast"): [(0, 0)]}, items).item_types == ("user", "podcast")


@pytest.mark.parametrize("make_graph", [random_graph, tangled_graph])
def test_neighbours_and_the_anchor_itself_are_no_negatives(make_graph: Callable[[], GraphTensors]) -> None:
    """Of whatever kind the edge, and in whichever direction it is there."""
    graph = make_graph()
    pools = {t: torch.randperm(n, generator=seeded())[:12] for t, n in graph.num_nodes.items()}
    rejection = Rejection(graph, pools)
    joined = set().union(*(joined_nodes(graph, relation) for relation in graph.relations))
    for anchor_type, count in graph.num_nodes.items():
        anchors = torch.tensor([5, 0, 5, count - 1])
        for pool_type, pool in pools.items():
            expected = [
                [frozenset(((anchor_type, a), (pool_type, n))) in joined or (anchor_type, a) == (pool_type, n)
                 for n in pool.tolist()]
                for a in anchors.tolist()
            ]  # fmt: skip
            assert rejection.mask(anchor_type, anchors, pool_type).tolist() == expected
