"""Co-listening edges: against a count by plain loops under every option, and what must hold of any graph."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graph_logs import NUM_ITEMS, NUM_USERS, TYPES, EdgeSet, Node, Row, count_by_hand, dataset_of, meta_of
from hypothesis import given, settings
from hypothesis import strategies as st

from graphkit.config.sections import GraphSection
from graphkit.errors import ConfigError
from graphkit.graph import edges as edges_module
from graphkit.graph import occurrences as occurrences_module
from graphkit.graph.counting import block_bounds, count_block
from graphkit.graph.edges import EdgeCounter, Edges, directed
from graphkit.graph.incidence import incidence
from graphkit.graph.kernel import Rules
from graphkit.graph.listening import Listening, gather
from graphkit.graph.memory import MemoryLimit, parse_memory
from graphkit.graph.occurrences import Occurrences
from graphkit.graph.relations import kept_relations
from graphkit.graph.store import CO_LISTENING, Relation
from graphkit.graph.weights import formula
from graphkit.graph.windows import Window
from graphkit.ties import tie_order

nodes = st.sampled_from([(kind, item) for kind, size in NUM_ITEMS.items() for item in range(size)])
seconds = st.sampled_from([None, 10.0, 30.0, 90.0])
signals = st.sampled_from(["stream", "stream", "follow"])
RELATIONS = kept_relations(TYPES, ())


@st.composite
def logs(draw: st.DrawFn) -> list[Row]:
    """At least two users; no two rows at the same minute, so that "most recent" has one meaning."""
    met = draw(st.lists(st.tuples(st.integers(0, NUM_USERS - 1), nodes, signals, seconds), min_size=2, max_size=60))
    minutes = draw(st.permutations(range(len(met))))
    rows = [
        Row(user, *node, minute, signal=signal, seconds=length)
        for (user, node, signal, length), minute in zip(met, minutes, strict=True)
    ]
    return [*rows, Row(0, "audiobook", 0, 1000, seconds=60), Row(1, "podcast", 0, 1001, seconds=60)]


unpruned = st.builds(
    GraphSection,
    signal_weights=st.sampled_from([{}, {}, {"follow": 0.5}, {"follow": 0.25, "podcast.stream": 2.0}]),
    min_seconds=st.sampled_from([0, 0, 30]),
    max_gap_days=st.sampled_from([None, None, 0.01]),
    max_items_per_user=st.integers(1, 12),
    heavy_users=st.sampled_from(["equal", "log", "linear"]),
    min_support=st.integers(1, 3),
    weight=st.sampled_from(["count", "cosine", "jaccard", "lift", "pmi"]),
    shrinkage=st.sampled_from([0, 1.5]),
    top_k=st.none(),
)
NO_LIMIT = MemoryLimit(2**60)


def listening_of(rows: Sequence[Row], config: GraphSection, seed: int = 0) -> Listening:
    with tempfile.TemporaryDirectory() as folder:
        chunks = Occurrences(dataset_of(Path(folder), rows, meta_of()), Window(), config).chunks(NO_LIMIT)
        return gather(chunks, NUM_USERS, NUM_ITEMS, config, seed, NO_LIMIT)


def build(rows: Sequence[Row], config: GraphSection, threads: int = 1, seed: int = 0) -> dict[Relation, Edges]:
    found = listening_of(rows, config, seed)
    counter = EdgeCounter(found.by_type, found.total, config, seed, threads, NO_LIMIT)
    return {relation: counter.edges(relation) for relation in RELATIONS}


def rows_of(graph: Mapping[Relation, Edges]) -> dict[tuple[Node, Node], tuple[Any, ...]]:
    """(node, node) to (support, weight, kept at the first, kept at the second)."""
    return {
        ((relation.src, src), (relation.dst, dst)): tuple(rest)
        for relation, found in graph.items()
        for frame in found.table(relation.same_type, max_rows=3)
        for src, dst, *rest in frame.iter_rows()
    }


def as_set(graph: Mapping[Relation, Edges]) -> EdgeSet:
    return {pair: (support, weight) for pair, (support, weight, *_) in rows_of(graph).items()}


def as_bytes(graph: Mapping[Relation, Edges]) -> dict[Relation, bytes]:
    return {relation: b"".join(array.tobytes() for array in found) for relation, found in graph.items()}


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


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"weight": "count"}, 2),
        ({"weight": "cosine"}, 2 / np.sqrt(2 * 3)),
        ({"weight": "jaccard"}, 2 / (2 + 3 - 2)),
        ({"weight": "lift"}, 3 * 2 / (2 * 3)),
        ({"weight": "count", "shrinkage": 2}, 2 * 2 / (2 + 2)),
        # User 0 has three items, user 1 two.
        ({"weight": "count", "heavy_users": "linear"}, 1 / 3 + 1 / 2),
        ({"weight": "count", "heavy_users": "log"}, 1 / np.log2(4) + 1 / np.log2(3)),
        ({"weight": "count", "signal_weights": {"podcast.stream": 0.5}}, 2 * 0.5),
    ],
)
def test_weights_on_paper(options: dict[str, Any], expected: float) -> None:
    """The pair of book 0 and podcast 1, which users 0 and 1 share; podcast 1 has user 2 besides."""
    rows = [
        Row(0, "audiobook", 0), Row(0, "podcast", 1), Row(0, "audiobook", 2),
        Row(1, "podcast", 1), Row(1, "audiobook", 0),
        Row(2, "podcast", 1),
    ]  # fmt: skip
    support, weight = as_set(build(rows, GraphSection(**options)))[("audiobook", 0), ("podcast", 1)]
    assert (support, weight) == (2, pytest.approx(expected))


def test_pmi_has_no_edge_at_or_below_chance() -> None:
    """Book 0 and podcast 1 meet as often as chance has it; book 2 and podcast 1 more often."""
    rows = [Row(0, "audiobook", 0), Row(0, "podcast", 1), Row(1, "podcast", 1), Row(2, "audiobook", 0)]
    rows += [Row(1, "audiobook", 2), Row(3, "track", 0)]
    found = as_set(build(rows, GraphSection(weight="pmi")))
    assert found == {(("audiobook", 2), ("podcast", 1)): (1, pytest.approx(np.log(4 * 1 / (1 * 2))))}


@pytest.mark.parametrize(("minutes", "joined"), [(60, True), (61, False)])
def test_the_gap_limit_counts_events_that_near_each_other(minutes: int, joined: bool) -> None:
    rows = [Row(0, "audiobook", 0, 0), Row(0, "podcast", 1, minutes), Row(1, "track", 0, 5)]
    rows += [Row(0, "audiobook", 0, -5000), Row(0, "podcast", 1, 9000)]  # other times, far off
    found = as_set(build(rows, GraphSection(max_gap_days=1 / 24, weight="count")))
    assert found == ({(("audiobook", 0), ("podcast", 1)): (1, 1)} if joined else {})


@given(logs(), unpruned)
@settings(max_examples=80, deadline=None)
def test_edges_are_those_of_a_plain_count_under_every_option(rows: list[Row], config: GraphSection) -> None:
    found, expected = as_set(build(rows, config)), count_by_hand(rows, config)
    # At chance itself the last bit decides whether a pair has a positive PMI.
    found = {pair: edge for pair, edge in found.items() if pair in expected or edge[1] > 1e-6}
    assert {pair: support for pair, (support, _) in found.items()} == {pair: n for pair, (n, _) in expected.items()}
    assert {pair: weight for pair, (_, weight) in found.items()} == pytest.approx(
        {pair: weight for pair, (_, weight) in expected.items()}, rel=1e-5
    )


@pytest.mark.parametrize("weight", ["cosine", "pmi"])
@pytest.mark.parametrize("options", [{}, {"max_gap_days": 1.0}, {"heavy_users": "log", "shrinkage": 2.0}])
def test_wide_rows_sparse_and_dense(weight: str, options: dict[str, Any]) -> None:
    """300 x 200 items of 80 users, popular ones and rare ones: more candidates than the selection holds at once."""
    rng = np.random.default_rng(1)
    sizes = {"audiobook": 300, "podcast": 200}
    rows = [
        Row(user, kind, int(size * rng.random() ** 3), int(rng.integers(40 * 24 * 60)))
        for user in range(80)
        for kind, size in sizes.items()
        for _ in range(rng.integers(1, 60))
    ]
    config = GraphSection(weight=weight, top_k=5, prune="destination", **options)
    meta = meta_of().model_copy(update={"types": tuple(sizes), "num_items": sizes, "num_users": 80})
    with tempfile.TemporaryDirectory() as folder:
        chunks = Occurrences(dataset_of(Path(folder), rows, meta), Window(), config).chunks(NO_LIMIT)
        found = gather(chunks, 80, sizes, config, 0, NO_LIMIT)
    counter = EdgeCounter(found.by_type, found.total, config, 0, 2, NO_LIMIT)
    relations = kept_relations(tuple(sizes), ())
    kept = rows_of({relation: counter.edges(relation) for relation in relations})
    every, own = defaultdict(list), defaultdict(list)
    for (one, other), (_, value) in count_by_hand(rows, config).items():
        at_one, at_other = kept.get((one, other), (0, 0, False, False))[2:]
        for end, far, there in ((one, other, at_one), (other, one, at_other)):
            every[end, far[0]].append(value)
            own[end, far[0]] += [value] if there else []
    for end, values in every.items():
        assert sorted(own[end]) == pytest.approx(sorted(values)[-5:], rel=1e-5), end


@given(logs(), unpruned, st.integers(1, 3), st.sampled_from(["either", "both", "destination"]))
@settings(max_examples=40, deadline=None)
def test_top_k_keeps_the_strongest_at_each_end(rows: list[Row], config: GraphSection, k: int, prune: str) -> None:
    full = as_set(build(rows, config))
    each = config.model_copy(update={"top_k": k})
    kept = rows_of(build(rows, each.model_copy(update={"prune": "destination"})))
    assert {pair: edge[:2] for pair, edge in kept.items()}.items() <= full.items()
    own: dict[Any, list[float]] = defaultdict(list)  # weights kept at (node, type of the other end)
    every: dict[Any, list[float]] = defaultdict(list)
    for (one, other), (_, weight) in full.items():
        at_one, at_other = kept.get((one, other), (0, 0, False, False))[2:]
        for end, far, there in ((one, other, at_one), (other, one, at_other)):
            every[end, far[0]].append(weight)
            own[end, far[0]] += [weight] if there else []
    # The K heaviest of each end: whichever of equals they are, their weights are the K largest.
    assert {end: sorted(found) for end, found in own.items()} == {
        end: sorted(sorted(found)[-k:]) for end, found in every.items()
    }
    wanted = {
        "destination": set(kept),
        "either": set(kept),
        "both": {pair for pair, (_, _, at_one, at_other) in kept.items() if at_one and at_other},
    }
    assert set(rows_of(build(rows, each.model_copy(update={"prune": prune})))) == wanted[prune]


@given(logs(), unpruned, st.integers(1, 3) | st.none(), st.sampled_from(["either", "both", "destination"]))
@settings(max_examples=30, deadline=None)
def test_in_edges_are_those_of_the_table(rows: list[Row], config: GraphSection, k: int | None, prune: str) -> None:
    graph = build(rows, config.model_copy(update={"top_k": k, "prune": prune}))
    found = {}
    for relation, edges in graph.items():
        for (src, _, dst), csc in directed(relation, edges, NUM_ITEMS[relation.dst]):
            assert len(csc.indptr) == NUM_ITEMS[dst] + 1
            assert (csc.indptr.dtype, csc.indices.dtype, csc.weight.dtype) == (np.int64, np.int32, np.float32)
            for node in range(NUM_ITEMS[dst]):
                run = slice(csc.indptr[node], csc.indptr[node + 1])
                assert (np.diff(csc.indices[run]) > 0).all()
                found |= {
                    ((src, int(i)), (dst, node)): w for i, w in zip(csc.indices[run], csc.weight[run], strict=True)
                }
    expected = {}
    for (one, other), (_, weight, at_one, at_other) in rows_of(graph).items():
        one_way = prune == "destination"
        expected |= {(other, one): weight} if at_one or not one_way else {}
        expected |= {(one, other): weight} if at_other or not one_way else {}
    assert found == expected
    assert all(one != other for one, other in found)


@given(logs(), unpruned, st.integers(1, 3) | st.none(), st.randoms(use_true_random=False))
@settings(max_examples=20, deadline=None)
def test_order_of_rows_threads_and_blocks_change_nothing(rows, config, k, random) -> None:  # type: ignore[no-untyped-def]
    config = config.model_copy(update={"top_k": k})
    shuffled = random.sample(rows, len(rows))
    expected = as_bytes(build(rows, config))
    assert as_bytes(build(shuffled, config)) == expected
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(edges_module, "_MAX_BLOCK_PAIRS", 3)
        patch.setattr(occurrences_module, "_LEAST_ROWS", 1)
        patch.setattr(occurrences_module, "_BYTES_PER_ROW", 2**57)  # chunks of two rows or so
        assert as_bytes(build(shuffled, config, threads=3)) == expected


@given(logs(), st.permutations(range(NUM_USERS)))
@settings(max_examples=15, deadline=None)
def test_users_may_be_numbered_anyhow(rows: list[Row], numbers: list[int]) -> None:
    config = GraphSection(top_k=2)
    renumbered = [row._replace(user=numbers[row.user]) for row in rows]
    assert as_bytes(build(renumbered, config)) == as_bytes(build(rows, config))


def test_equals_are_kept_by_seed_not_by_id() -> None:
    """Users 0 and 1 have all of 4 x 5 items; every edge weighs the same, so only the seed chooses."""
    rows = [Row(user, "audiobook", item) for user in (0, 1) for item in range(4)]
    rows += [Row(user, "podcast", item) for user in (0, 1) for item in range(5)]
    mixed = Relation("audiobook", "co-listening", "podcast")
    chosen = {as_bytes(build(rows, GraphSection(top_k=1), seed=seed))[mixed] for seed in range(8)}
    assert len(chosen) > 1
    again = [as_bytes(build(rows, GraphSection(top_k=1), seed=5)) for _ in range(2)]
    assert again[0] == again[1]


def items_of(found: Listening, user: int) -> list[Node]:
    return [
        (item_type, int(item))
        for item_type, pairs in found.by_type.items()
        for item in pairs.by_owner.ids[pairs.by_owner.indptr[user] : pairs.by_owner.indptr[user + 1]]
    ]


@pytest.mark.parametrize("minute", [None, 7])
def test_the_cap_breaks_equal_times_by_seed(minute: int | None) -> None:
    rows = [Row(0, "podcast", item, minute) for item in range(5)] + [Row(1, "track", 0, minute)]
    kept = {tuple(items_of(listening_of(rows, GraphSection(max_items_per_user=2), seed), 0)) for seed in range(10)}
    assert len(kept) > 1
    assert all(len(items) == 2 for items in kept)
    capped = listening_of(rows, GraphSection(max_items_per_user=2))
    assert (capped.users_capped, capped.pairs_cut, capped.pairs, capped.users) == (1, 3, 3, 2)
    assert listening_of(rows, GraphSection(max_items_per_user=5)).pairs_cut == 0


def test_the_cap_keeps_the_most_recent_across_types() -> None:
    rows = [Row(0, "podcast", 0, 1), Row(0, "track", 1, 3), Row(0, "audiobook", 2, 2), Row(1, "track", 0, 1)]
    rows.append(Row(0, "podcast", 0, 9))  # met again: recent after all
    found = listening_of(rows, GraphSection(max_items_per_user=2))
    assert items_of(found, 0) == [("podcast", 0), ("track", 1)]
    assert items_of(found, 1) == [("track", 0)]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=20), st.integers(1, 12))
def test_blocks_cover_every_item_once_within_bounds(degrees: list[int], max_pairs: int) -> None:
    users = np.concatenate([np.arange(degree) for degree in degrees])
    items = np.repeat(np.arange(len(degrees)), degrees)
    order = np.lexsort((items, users))
    dst = incidence(users[order], items[order], (10, len(degrees)))
    src = incidence(np.arange(10), np.zeros(10, np.int64), (10, 1))  # one item a user: cost = degree
    bounds = block_bounds(src.by_owner, dst.by_item, max_pairs)
    assert [item for start, stop in bounds for item in range(start, stop)] == list(range(len(degrees)))
    for start, stop in bounds:
        assert stop - start == 1 or sum(degrees[start:stop]) <= max_pairs


def test_a_block_stands_alone() -> None:
    """One block of the count is a function of its two matrices: the same from arrays that crossed a file."""
    rng = np.random.default_rng(0)
    pairs = np.unique(rng.integers(0, [30, 20], size=(200, 2)), axis=0)
    found = incidence(pairs[:, 0], pairs[:, 1], (30, 20))
    weighs = formula("cosine", found.mass, found.mass, 30.0, 0.0)
    rules = Rules(1, 3, True, 0, 7)
    whole = count_block(found.by_owner, found.by_item, (0, 20), weighs, rules)
    parts = [count_block(found.by_owner, found.by_item, (k, k + 5), weighs, rules) for k in range(0, 20, 5)]
    for k, array in enumerate(whole):
        assert np.concatenate([part[k] for part in parts]).tolist() == array.tolist()
    dense = np.zeros((30, 20))
    dense[pairs[:, 0], pairs[:, 1]] = 1
    assert whole.support.tolist() == [
        int(dense[:, s] @ dense[:, d])
        for d in range(20)
        for s in whole.src[np.repeat(np.arange(20), whole.degree) == d]
    ]


def test_tie_order_is_the_same_everywhere() -> None:
    """Reference values of splitmix64 seeded with 0 (Steele, Lea, Flood 2014)."""
    assert tie_order(np.array([0]), 0).tolist() == [0xE220A8397B1DCDAF]
    assert len(set(tie_order(np.arange(1000), 3).tolist())) == 1000


@pytest.mark.parametrize(
    ("text", "size"), [("4GiB", 2**32), ("800 MiB", 800 * 2**20), ("1.5GB", 1_500_000_000), ("4096", 4096)]
)
def test_memory_is_read_with_its_unit(text: str, size: int) -> None:
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1GiB", "4 gigs", "0", "0GiB", "4GiB2"])
def test_no_amount_of_memory_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="as 4GiB or 800MiB"):
        parse_memory(text)


def test_settings_far_too_large_take_no_memory() -> None:
    rows = [Row(user, "audiobook", item) for user in (0, 1) for item in range(4)]
    config = GraphSection(top_k=10**12, max_items_per_user=10**12)
    assert as_bytes(build(rows, config)) == as_bytes(build(rows, GraphSection()))


@pytest.mark.parametrize("top_k", [5, None])
def test_a_limit_too_small_names_the_least_that_would_do(top_k: int | None) -> None:
    rng = np.random.default_rng(0)
    pairs = np.unique(rng.integers(0, [3000, 3000], size=(60_000, 2)), axis=0)
    found = incidence(pairs[:, 0], pairs[:, 1], (3000, 3000))
    config = GraphSection(top_k=top_k)
    relation = Relation("track", "co-listening", "track")

    def edges(limit: int) -> Edges:
        return EdgeCounter({"track": found}, 3000.0, config, 0, 2, MemoryLimit(limit)).edges(relation)

    with pytest.raises(ConfigError, match=r"too small to .* of track-track") as raised:
        edges(1)
    assert raised.value.expected is not None
    least = int(raised.value.expected.split("at least ")[1].split(" MiB")[0].replace(",", ""))
    assert len(edges((least + 64) * 2**20).dst) > 0


@pytest.mark.slow
def test_the_compiled_loops_stay_inside_their_arrays(tmp_path: Path) -> None:
    """The counts by every option once more, in a process whose compiled code checks each index."""
    checked = os.environ | {"NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    words = ["-m", "pytest", __file__, "-q", "-p", "no:cacheprovider", "-k", "plain_count or strongest or wide_rows"]
    done = subprocess.run([sys.executable, *words], env=checked, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]


def test_an_edge_that_either_end_keeps_is_an_in_edge_of_both() -> None:
    rows = [Row(user=0, item_type="audiobook", item=item, minute=item, split="train", signal="stream", seconds=None)
            for item in range(3)]  # fmt: skip
    config = GraphSection(top_k=1, empty_relations="keep")

    def in_edges(prune: str) -> set[tuple[int, int]]:
        relation = Relation("audiobook", CO_LISTENING, "audiobook")
        edges = build(rows, config.model_copy(update={"prune": prune}))[relation]
        ((_, csc),) = directed(relation, edges, NUM_ITEMS["audiobook"])
        return {(int(i), v) for v in range(3) for i in csc.indices[csc.indptr[v] : csc.indptr[v + 1]]}

    one_way, either = in_edges("destination"), in_edges("either")
    assert sorted(v for _, v in one_way) == [0, 1, 2]  # one in-edge each
    assert either == one_way | {(v, i) for i, v in one_way} > one_way
