"""Co-listening edges: against a count by plain loops, and what must hold of any graph."""

from __future__ import annotations

import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from graph_logs import NUM_ITEMS, NUM_USERS, TYPES, EdgeSet, Row, count_by_hand, dataset_of, meta_of
from hypothesis import given, settings
from hypothesis import strategies as st

from graphkit.config.sections import GraphSection
from graphkit.graph import edges as edges_module
from graphkit.graph.edges import EdgeCounter, Edges, directed_relations, isolated_nodes, listeners_by_type
from graphkit.graph.pairs import Listeners, block_bounds
from graphkit.graph.prune import edge_weight, strongest
from graphkit.graph.relations import kept_relations
from graphkit.graph.snapshots import Window, cap_users, read_pairs
from graphkit.graph.store import Relation
from graphkit.graph.ties import tie_order

nodes = st.sampled_from([(kind, item) for kind, size in NUM_ITEMS.items() for item in range(size)])


@st.composite
def logs(draw: st.DrawFn) -> list[Row]:
    """At least two users; no two rows at the same minute, so that "most recent" has one meaning."""
    met = draw(st.lists(st.tuples(st.integers(0, NUM_USERS - 1), nodes), min_size=2, max_size=60))
    minutes = draw(st.permutations(range(len(met))))
    rows = [Row(user, *node, minute) for (user, node), minute in zip(met, minutes, strict=True)]
    return [*rows, Row(0, "audiobook", 0, 1000), Row(1, "podcast", 0, 1001)]


graph_settings = st.builds(
    GraphSection,
    min_support=st.integers(1, 3),
    max_items_per_user=st.integers(1, 12),
    weight=st.sampled_from(["count", "cosine"]),
    top_k=st.none(),
)


def build(rows: Sequence[Row], config: GraphSection, threads: int = 1, seed: int = 0) -> dict[Relation, Edges]:
    with tempfile.TemporaryDirectory() as folder:
        pairs = read_pairs(dataset_of(Path(folder), rows, meta_of()), "fit", Window())
    capped = cap_users(pairs, config.max_items_per_user, seed)
    counter = EdgeCounter(listeners_by_type(capped.pairs, NUM_ITEMS, NUM_USERS), config, seed, threads)
    return {relation: counter.edges(relation) for relation in kept_relations(TYPES, ())}


def as_set(graph: Mapping[Relation, Edges]) -> EdgeSet:
    return {
        ((a, src), (b, dst)): (support, weight)
        for (a, b), found in graph.items()
        for src, dst, support, weight in found.frame().iter_rows()
    }


def as_bytes(graph: Mapping[Relation, Edges]) -> dict[Relation, bytes]:
    return {
        relation: b"".join(array.tobytes() for array in (found.src, found.dst, found.support, found.weight))
        for relation, found in graph.items()
    }


def test_a_log_counted_on_paper() -> None:
    """Users 0 and 1 share book 0 and podcast 1; user 0 alone adds book 2."""
    rows = [
        Row(0, "audiobook", 0), Row(0, "audiobook", 0), Row(0, "podcast", 1), Row(0, "audiobook", 2),
        Row(1, "podcast", 1), Row(1, "audiobook", 0),
        Row(2, "podcast", 1),
    ]  # fmt: skip
    assert as_set(build(rows, GraphSection())) == {
        (("audiobook", 0), ("audiobook", 2)): (1, pytest.approx(1 / np.sqrt(2 * 1))),
        (("audiobook", 0), ("podcast", 1)): (2, pytest.approx(2 / np.sqrt(2 * 3))),
        (("audiobook", 2), ("podcast", 1)): (1, pytest.approx(1 / np.sqrt(1 * 3))),
    }


@given(logs(), graph_settings)
@settings(max_examples=60, deadline=None)
def test_edges_are_those_of_a_plain_count(rows: list[Row], config: GraphSection) -> None:
    found = as_set(build(rows, config))
    expected = count_by_hand(rows, config.min_support, config.weight, config.max_items_per_user)
    assert {pair: support for pair, (support, _) in found.items()} == {pair: n for pair, (n, _) in expected.items()}
    assert {pair: weight for pair, (_, weight) in found.items()} == pytest.approx(
        {pair: weight for pair, (_, weight) in expected.items()}
    )


@given(logs(), graph_settings, st.integers(1, 3))
@settings(max_examples=60, deadline=None)
def test_top_k_keeps_what_is_strongest_for_either_end(rows: list[Row], config: GraphSection, k: int) -> None:
    full = as_set(build(rows, config))
    kept = as_set(build(rows, config.model_copy(update={"top_k": k})))
    assert kept.items() <= full.items()
    weights = defaultdict(list)  # of (node, type of the other end)
    for (one, other), (_, weight) in full.items():
        weights[one, other[0]].append(weight)
        weights[other, one[0]].append(weight)
    for (one, other), (_, weight) in full.items():
        ends = [sorted(weights[end], reverse=True) for end in ((one, other[0]), (other, one[0]))]
        ranks = [(sum(w > weight for w in end), sum(w >= weight for w in end)) for end in ends]
        if any(at_worst <= k for _, at_worst in ranks):  # within the k strongest, however ties fall
            assert (one, other) in kept
        if all(at_best >= k for at_best, _ in ranks):  # k strictly stronger ones at both ends
            assert (one, other) not in kept
    degree = {key: min(k, len(ws)) for key, ws in weights.items()}
    for (node, other_type), least in degree.items():
        own = [pair for pair in kept if node in pair and (other_type in (pair[0][0], pair[1][0]))]
        assert len(own) >= least
    for relation in kept_relations(TYPES, ()):
        a, b = relation
        picks = sum(n for (node, t), n in degree.items() if {node[0], t} == set(relation))
        assert sum({p[0][0], p[1][0]} == {a, b} for p in kept) <= picks


@given(logs(), graph_settings, st.integers(1, 3) | st.none())
@settings(max_examples=40, deadline=None)
def test_both_directions_mirror_each_other(rows: list[Row], config: GraphSection, k: int | None) -> None:
    directed = directed_relations(build(rows, config.model_copy(update={"top_k": k})), NUM_ITEMS)
    dense = {}
    for (src, dst), csc in directed.items():
        matrix = np.zeros((NUM_ITEMS[dst], NUM_ITEMS[src]), np.float32)
        assert len(csc.indptr) == NUM_ITEMS[dst] + 1
        assert (csc.indptr.dtype, csc.indices.dtype, csc.weight.dtype) == (np.int64, np.int32, np.float32)
        for node in range(NUM_ITEMS[dst]):
            run = slice(csc.indptr[node], csc.indptr[node + 1])
            assert (np.diff(csc.indices[run]) > 0).all()
            matrix[node, csc.indices[run]] = csc.weight[run]
        dense[src, dst] = matrix
    for (src, dst), matrix in dense.items():
        assert (matrix == dense[dst, src].T).all()
        if src == dst:
            assert not matrix.diagonal().any()


@given(logs(), graph_settings, st.integers(1, 3) | st.none(), st.randoms(use_true_random=False))
@settings(max_examples=30, deadline=None)
def test_order_of_rows_threads_and_blocks_change_nothing(rows, config, k, random) -> None:  # type: ignore[no-untyped-def]
    config = config.model_copy(update={"top_k": k})
    shuffled = random.sample(rows, len(rows))
    expected = as_bytes(build(rows, config))
    assert as_bytes(build(shuffled, config)) == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edges_module, "MAX_BLOCK_PAIRS", 3)
        assert as_bytes(build(shuffled, config, threads=3)) == expected


@given(logs(), st.permutations(range(NUM_USERS)))
@settings(max_examples=30, deadline=None)
def test_users_may_be_numbered_anyhow(rows: list[Row], numbers: list[int]) -> None:
    config = GraphSection(top_k=2)
    renumbered = [row._replace(user=numbers[row.user]) for row in rows]
    assert as_bytes(build(renumbered, config)) == as_bytes(build(rows, config))


def test_equals_are_kept_by_seed_not_by_id() -> None:
    """User 0 has one of 4 x 5 items each; every edge weighs the same, so only the seed chooses."""
    rows = [Row(user, "audiobook", item) for user in (0, 1) for item in range(4)]
    rows += [Row(user, "podcast", item) for user in (0, 1) for item in range(5)]
    chosen = {as_bytes(build(rows, GraphSection(top_k=1), seed=seed))["audiobook", "podcast"] for seed in range(8)}
    assert len(chosen) > 1
    again = [as_bytes(build(rows, GraphSection(top_k=1), seed=5)) for _ in range(2)]
    assert again[0] == again[1]


@pytest.mark.parametrize("minute", [None, 7])
def test_the_cap_breaks_equal_times_by_seed(tmp_path: Path, minute: int | None) -> None:
    rows = [Row(0, "podcast", item, minute) for item in range(5)] + [Row(1, "track", 0, minute)]
    pairs = read_pairs(dataset_of(tmp_path, rows, meta_of()), "fit", Window())
    kept = {tuple(cap_users(pairs, 2, seed).pairs.filter(user=0)["item"]) for seed in range(10)}
    assert len(kept) > 1
    assert all(len(items) == 2 for items in kept)
    capped = cap_users(pairs, 2, seed=0)
    assert (capped.users_capped, capped.pairs_cut) == (1, 3)
    assert cap_users(pairs, 5, seed=0).pairs_cut == 0


def test_the_cap_keeps_the_most_recent_across_types(tmp_path: Path) -> None:
    rows = [Row(0, "podcast", 0, 1), Row(0, "track", 1, 3), Row(0, "audiobook", 2, 2), Row(1, "track", 0, 1)]
    rows.append(Row(0, "podcast", 0, 9))  # met again: recent after all
    pairs = read_pairs(dataset_of(tmp_path, rows, meta_of()), "fit", Window())
    kept = cap_users(pairs, 2, seed=0).pairs.rows()
    assert kept == [(0, 1, 0), (0, 2, 1), (1, 2, 0)]


def test_isolated_nodes() -> None:
    rows = [Row(0, "audiobook", 0), Row(0, "podcast", 1), Row(1, "track", 0)]
    directed = directed_relations(build(rows, GraphSection()), NUM_ITEMS)
    assert isolated_nodes(directed, NUM_ITEMS) == {"audiobook": 3, "podcast": 4, "track": 3}


def test_edge_weight() -> None:
    support, src, dst = (np.array(values) for values in ([2, 1], [4, 1], [9, 1]))
    assert edge_weight("count", support, src, dst).tolist() == [2, 1]
    assert edge_weight("cosine", support, src, dst).tolist() == pytest.approx([1 / 3, 1])


def test_strongest() -> None:
    dst = np.array([5, 5, 5, 6, 6, 6, 9])
    weight = np.array([0.1, 0.3, 0.2, 7, 7, 7, 1], np.float32)
    tie = np.array([0, 0, 0, 3, 1, 2, 0], np.uint64) << np.uint64(60)
    assert strongest(dst, weight, tie, 2).tolist() == [False, True, True, False, True, True, True]
    assert strongest(dst, weight, tie, None).all()
    assert strongest(dst[:0], weight[:0], tie[:0], 1).tolist() == []


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.integers(1, 12), st.integers(1, 5))
def test_blocks_cover_every_item_once_within_bounds(degrees: list[int], max_pairs: int, max_rows: int) -> None:
    users = np.concatenate([np.arange(degree) for degree in degrees])
    items = np.repeat(np.arange(len(degrees)), degrees)
    dst = Listeners.of(users, items, (10, len(degrees)))
    src = Listeners.of(np.arange(10), np.zeros(10, np.int64), (10, 1))  # one item a user: cost = degree
    bounds = block_bounds(src, dst, max_pairs, max_rows)
    assert [item for start, stop in bounds for item in range(start, stop)] == list(range(len(degrees)))
    for start, stop in bounds:
        assert stop - start <= max_rows
        assert stop - start == 1 or sum(degrees[start:stop]) <= max_pairs


def test_tie_order_is_the_same_everywhere() -> None:
    """Reference values of splitmix64 seeded with 0 (Steele, Lea, Flood 2014)."""
    assert tie_order(np.array([0]), 0).tolist() == [0xE220A8397B1DCDAF]
    assert len(set(tie_order(np.arange(1000), 3).tolist())) == 1000
