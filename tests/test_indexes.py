"""One contract for every kind of index, and the parts that they share."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import get_args
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from small_index import DIM, NUM_ITEMS, describe, make_small_index, unit_vectors

from graphkit.bundle_format import IndexMeta
from graphkit.config.sections import IndexKind
from graphkit.errors import ArtefactError
from graphkit.indexes import exact, item_index
from graphkit.indexes.exact import nearest_exact
from graphkit.indexes.item_index import ItemIndex
from graphkit.indexes.lengths import as_directions, as_query, greatest_length
from graphkit.indexes.store import open_index
from graphkit.indexes.tune import Asked, least_effort

KINDS: tuple[IndexKind, ...] = get_args(IndexKind)
WITH_FILES = tuple(kind for kind in KINDS if kind != "exact")
MANY = 6000

every_kind = pytest.mark.parametrize("kind", KINDS)


def random_world(lengths: str = "one") -> tuple[np.ndarray, np.ndarray]:
    """Items without any structure, [MANY, 16], and queries."""
    vectors, rng = unit_vectors(MANY, 16), np.random.default_rng(1)
    if lengths == "varying":  # the longest is 200 times as long as the shortest
        vectors *= np.exp(rng.uniform(0, np.log(200), MANY)).astype(np.float32)[:, None]
    return vectors, rng.normal(size=(40, 16)).astype(np.float32)


def clustered_world() -> tuple[np.ndarray, np.ndarray]:
    """Sixty tight clusters, [MANY, 16]; queries lie between two of them."""
    rng = np.random.default_rng(2)
    centres = rng.normal(size=(60, 16))
    vectors = centres[rng.integers(0, 60, MANY)] + 0.1 * rng.normal(size=(MANY, 16))
    queries = centres[rng.integers(0, 60, 40)] + centres[rng.integers(0, 60, 40)]
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32), queries.astype(np.float32)


WORLDS = {
    "random": random_world(),
    "clustered": clustered_world(),
    "of varying lengths": random_world("varying"),
}


def brute_force_recall(index: ItemIndex, vectors: np.ndarray, queries: np.ndarray) -> float:
    """By sets of items."""
    found = 0
    for query in queries:
        exact_items = np.argsort(-(vectors.astype(np.float64) @ query))[:100]
        found += len(set(exact_items.tolist()) & set(index.nearest(query, 100)[0].tolist()))
    return found / (100 * len(queries))


@every_kind
@pytest.mark.parametrize("world", WORLDS)
@pytest.mark.parametrize("target", [0.6, 0.95])
def test_the_recall_that_was_asked_for_is_reached_and_stated(
    tmp_path: Path, kind: IndexKind, world: str, target: float
) -> None:
    vectors, queries = WORLDS[world]
    about = describe(tmp_path, kind, vectors, queries, recall=target)
    index = open_index(tmp_path, about, vectors)
    assert brute_force_recall(index, vectors, queries[::2]) >= target - 1e-3
    assert about.recall == pytest.approx(brute_force_recall(index, vectors, queries[1::2]), abs=1e-3)
    assert about.recall >= target - 0.05  # of queries that it was not tuned on


@every_kind
@pytest.mark.parametrize("world", WORLDS)
def test_scores_are_the_dot_products_best_first(tmp_path: Path, kind: IndexKind, world: str) -> None:
    vectors, queries = WORLDS[world]
    index = open_index(tmp_path, describe(tmp_path, kind, vectors, queries), vectors)
    for query in queries[:5]:
        items, dots = index.nearest(query, 30)
        assert len(set(items.tolist())) == 30
        np.testing.assert_allclose(dots, vectors[items] @ query, rtol=1e-5, atol=1e-5)
        assert (np.diff(dots) <= 0).all()


@pytest.mark.parametrize("kind", WITH_FILES)
def test_a_low_recall_takes_less_than_all(tmp_path: Path, kind: IndexKind) -> None:
    vectors, queries = WORLDS["clustered"]
    index = open_index(tmp_path, describe(tmp_path, kind, vectors, queries, recall=0.6), vectors)
    assert index.looks_at(100) < MANY / 2
    assert brute_force_recall(index, vectors, queries) < 1
    with mock.patch.object(item_index, "nearest_exact", side_effect=AssertionError("scored all")):
        index.nearest(queries[0], 100)


@every_kind
@pytest.mark.parametrize("n", [1, NUM_ITEMS - 1, NUM_ITEMS, 10 * NUM_ITEMS])
def test_as_many_as_there_are_and_no_more(tmp_path: Path, kind: IndexKind, n: int) -> None:
    vectors = unit_vectors()
    items, dots = open_index(tmp_path, describe(tmp_path, kind, vectors, vectors), vectors).nearest(vectors[3], n)
    assert len(items) == len(dots) == min(n, NUM_ITEMS)
    assert (items[0], len(set(items.tolist()))) == (3, len(items))


@every_kind
@pytest.mark.parametrize("length", [1.0, 3.0, 0.0])
def test_one_item(tmp_path: Path, kind: IndexKind, length: float) -> None:
    vectors = np.array([[length, 0, 0]], np.float32)
    index = open_index(tmp_path, describe(tmp_path, kind, vectors, np.ones((1, 3), np.float32)), vectors)
    items, dots = index.nearest(np.array([2, 1, 0], np.float32), 5)
    assert (items.tolist(), dots.tolist()) == ([0], [2 * length])


@every_kind
def test_no_item(tmp_path: Path, kind: IndexKind) -> None:
    vectors, query = np.zeros((0, 3), np.float32), np.ones(3, np.float32)
    index = open_index(tmp_path, describe(tmp_path, kind, vectors, query[None]), vectors)
    assert [part.tolist() for part in index.nearest(query, 5)] == [[], []]


@every_kind
def test_a_query_of_zeros_finds_zeros(tmp_path: Path, kind: IndexKind) -> None:
    vectors, queries = WORLDS["random"]
    index = open_index(tmp_path, describe(tmp_path, kind, vectors, queries), vectors)
    items, dots = index.nearest(np.zeros(16, np.float32), 20)
    assert len(set(items.tolist())) == 20
    assert (dots == 0).all()


@every_kind
def test_equal_vectors_are_all_found(tmp_path: Path, kind: IndexKind) -> None:
    vectors = np.tile(np.array([[1.0, 0.0]], np.float32), (250, 1))
    about = describe(tmp_path, kind, vectors, vectors[:4], recall=1.0)
    assert about.recall == 1.0
    assert len(open_index(tmp_path, about, vectors).nearest(vectors[0], 200)[0]) == 200


@pytest.mark.parametrize("kind", WITH_FILES)
def test_the_same_seed_gives_the_same_bytes(tmp_path: Path, kind: IndexKind) -> None:
    vectors, queries = WORLDS["random"]
    made = [
        describe(tmp_path / name, kind, vectors, queries, seed=seed)
        for name, seed in zip("abc", (1, 1, 2), strict=True)
    ]
    first, second, other = (
        (tmp_path / name / str(about.file)).read_bytes() for name, about in zip("abc", made, strict=True)
    )
    assert first == second != other
    assert made[0] == made[1]


@every_kind
def test_vectors_of_another_catalogue_are_refused(tmp_path: Path, kind: IndexKind) -> None:
    vectors = unit_vectors()
    about = describe(tmp_path, kind, vectors, vectors)
    for others in (vectors[:-1], vectors[:, :-1], np.tile(vectors, (2, 1))):
        with pytest.raises(ArtefactError, match="does not belong to the item vectors"):
            open_index(tmp_path, about, others)
    if about.file is not None:
        with pytest.raises(ArtefactError, match="vectors that differ by"):
            open_index(tmp_path, about, np.roll(vectors, 1, axis=0))


@pytest.mark.parametrize("kind", WITH_FILES)
@pytest.mark.parametrize("damage", ["empty", "cut", "longer", "noise", "absent", "of the other kind"])
def test_a_damaged_file_is_refused(tmp_path: Path, kind: IndexKind, damage: str) -> None:
    vectors = unit_vectors()
    about = describe(tmp_path, kind, vectors, vectors)
    path = tmp_path / str(about.file)
    whole = path.read_bytes()
    other = WITH_FILES[WITH_FILES.index(kind) - 1]
    foreign = (tmp_path / str(describe(tmp_path, other, vectors, vectors).file)).read_bytes()
    path.unlink()
    if damage != "absent":
        noise = np.random.default_rng(0).bytes(len(whole))
        content = {"empty": b"", "cut": whole[:-7], "longer": whole + b"xyz", "noise": noise}
        path.write_bytes(content.get(damage, foreign))
    with pytest.raises(ArtefactError, match=str(path)):
        open_index(tmp_path, about, vectors)


def test_longer_lists_take_more_effort(tmp_path: Path) -> None:
    vectors, queries = WORLDS["clustered"]
    index = open_index(tmp_path, describe(tmp_path, "voyager", vectors, queries), vectors)
    assert index.looks_at(10) == index.looks_at(100) < index.looks_at(300) <= MANY
    with mock.patch.object(index, "_effort", MANY):
        assert index.looks_at(100) == MANY


@settings(deadline=None)
@given(
    lengths=arrays(np.float32, 40, elements=st.floats(0, 1000, width=32)),
    query=arrays(np.float32, 6, elements=st.floats(-10, 10, width=32)),
)
def test_directions_rank_as_dot_products_do(lengths: np.ndarray, query: np.ndarray) -> None:
    vectors = unit_vectors(40, 6) * lengths[:, None]
    longest = greatest_length(vectors)
    directions = as_directions(vectors, longest).astype(np.float64)
    np.testing.assert_allclose(np.linalg.norm(directions, axis=1), 1, atol=1e-3)
    by_angle, scale = directions @ as_query(query, longest), float(longest or lengths.max())
    np.testing.assert_allclose(by_angle * scale, vectors.astype(np.float64) @ query, rtol=1e-4, atol=1e-3 * scale)


def test_vectors_of_one_length_need_no_column() -> None:
    assert greatest_length(3 * unit_vectors()) is None
    assert greatest_length(np.concatenate([unit_vectors(), np.zeros((1, DIM), np.float32)])) == pytest.approx(1)


@settings(deadline=None)
@given(
    dots=arrays(np.float32, st.integers(1, 60), elements=st.sampled_from([0.0, 1.0, 2.0, -3.0, 5.5])),
    n=st.integers(1, 70),
    rows=st.integers(1, 70),
)
def test_exact_is_the_sorted_catalogue_whatever_the_blocks(dots: np.ndarray, n: int, rows: int) -> None:
    with mock.patch.object(exact, "_ROWS", rows):
        items, found = nearest_exact(dots[:, None], np.ones(1, np.float32), n)
    assert items.tolist() == np.argsort(-dots, kind="stable")[:n].tolist()
    np.testing.assert_array_equal(found, dots[items])


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return unit_vectors()


@pytest.fixture(scope="module")
def index(vectors: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> ItemIndex:
    return make_small_index(tmp_path_factory.mktemp("index"), vectors)


@pytest.mark.parametrize("found", [0, 1, 9])
def test_all_are_scored_where_ever_wider_searches_give_fewer(vectors: np.ndarray, found: int) -> None:
    poor = mock.Mock(search=mock.Mock(return_value=np.arange(found)), looks_at=lambda effort: effort)
    items, dots = ItemIndex(vectors, poor, effort=10).nearest(vectors[7], 10)
    assert [call.args[2] for call in poor.search.call_args_list] == [10, 20, 40]  # of 60 items
    np.testing.assert_array_equal(items, np.argsort(-(vectors @ vectors[7]), kind="stable")[:10])
    np.testing.assert_allclose(dots, np.sort(vectors @ vectors[7])[::-1][:10], atol=1e-6)


def test_dots_are_those_of_the_items_asked_for(index: ItemIndex, vectors: np.ndarray) -> None:
    items = np.array([7, 3, 7, 59])
    np.testing.assert_allclose(
        index.dots(vectors[0], items), [vectors[0] @ vectors[item] for item in items], atol=1e-6
    )
    assert index.dots(vectors[0], np.array([], dtype=np.int64)).shape == (0,)


@settings(deadline=None)
@given(queries=arrays(np.float32, (3, DIM), elements=st.floats(-10, 10, width=32)))
def test_a_spread_is_the_standard_deviation_of_all_dot_products(
    index: ItemIndex, vectors: np.ndarray, queries: np.ndarray
) -> None:
    everything = queries.astype(np.float64) @ vectors.T.astype(np.float64)  # [3, NUM_ITEMS]
    np.testing.assert_allclose(index.spreads(queries), everything.std(axis=1), rtol=1e-4, atol=1e-6)


def test_the_spread_of_many_items_is_summed_up_in_parts(
    index: ItemIndex, vectors: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(item_index, "_ROWS", 7)
    monkeypatch.delitem(index.__dict__, "_covariance", raising=False)
    np.testing.assert_allclose(index.spreads(vectors[4:6]), (vectors[4:6] @ vectors.T).std(axis=1), rtol=1e-4)


def test_recall_counts_what_is_missed(vectors: np.ndarray) -> None:
    asked = Asked.of(vectors, vectors[:2], n=10)
    best_ten = np.argsort(-(vectors @ vectors[:2].T), axis=0)[:10].T
    half = mock.Mock(nearest=lambda query, n: (None, np.concatenate([vectors[best_ten[0][:5]] @ query, [-2.0] * 5])))
    assert dataclasses.replace(asked, queries=asked.queries[:1], least=asked.least[:1]).recall(half) == 0.5
    assert asked.recall(ItemIndex(vectors)) == 1


@settings(deadline=None)
@given(needed=st.integers(1, 5000), target=st.sampled_from([0.5, 1.0]))
def test_the_least_effort_is_found_to_a_tenth(needed: int, target: float) -> None:
    """A search whose recall is effort / needed, up to 1."""
    asked = mock.Mock(n=100, recall=lambda index: min(1.0, index.effort / needed))
    effort = least_effort(lambda e: mock.Mock(effort=e, num_items=10**6, looks_at=lambda _: e), asked, target)
    enough = int(np.ceil(needed * target))
    assert max(enough, 100) <= effort <= max(enough + 1, int(enough / 0.88) + 1, 100)


def test_the_search_for_an_effort_ends_where_all_are_scored() -> None:
    never = mock.Mock(n=100, recall=lambda index: 0.0)
    assert least_effort(lambda e: mock.Mock(num_items=1000, looks_at=lambda _: min(e, 1000)), never, 0.9) == 1600


def test_a_description_that_another_version_wrote_is_refused() -> None:
    with pytest.raises(ValueError, match="search_k"):
        IndexMeta.model_validate({"kind": "annoy", "dim": 3, "num_items": 4, "search_k": 100})
