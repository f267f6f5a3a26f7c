"""The blended ranking against brute force: the whole catalogue scored, sorted, and cut."""

from __future__ import annotations

from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from small_index import DIM, NUM_ITEMS, make_small_index, unit_vectors

from graphkit.indexes.exact import nearest_exact
from graphkit.indexes.item_index import ItemIndex
from graphkit.serving.blend import blended_top
from graphkit.serving.edges import EdgeScores

NONE = np.array([], dtype=np.int64)
EVERY = np.arange(NUM_ITEMS)


@pytest.fixture(scope="module")
def vectors() -> np.ndarray:
    return unit_vectors()


class FaultlessSearch:
    """Finds what there is to find, and claims to look at next to nothing for it."""

    suffix = ""

    def __init__(self, vectors: np.ndarray) -> None:
        self.vectors = vectors

    def search(self, query: np.ndarray, n: int, effort: int) -> np.ndarray:
        return nearest_exact(self.vectors, query, n)[0]

    @staticmethod
    def looks_at(effort: int) -> int:
        return effort


@pytest.fixture(scope="module", params=["scores all", "searches"])
def index(request: pytest.FixtureRequest, vectors: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> ItemIndex:
    """Of sixty items all are scored, unless a search is cheap."""
    if request.param == "searches":
        return ItemIndex(vectors, FaultlessSearch(vectors), effort=25)
    return make_small_index(tmp_path_factory.mktemp("index"), vectors)


def top(
    index: ItemIndex, vector: np.ndarray, edges: np.ndarray, weight: float, k: int, hidden: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """``blended_top`` of all items but the hidden ones, given an edge score for each."""
    items = np.flatnonzero(edges)
    allowed = ~np.isin(EVERY, hidden)
    return blended_top(index, vector, EdgeScores(items, edges[items], len(edges)).in_spreads(), weight, k, allowed)


def some_edges(seed: int, reached: int) -> np.ndarray:
    """Scores of ``reached`` random items, of either sign."""
    rng, edges = np.random.default_rng(seed), np.zeros(NUM_ITEMS, np.float32)
    edges[rng.choice(NUM_ITEMS, reached, replace=False)] = rng.normal(size=reached)
    return edges


def some_vector(seed: int) -> np.ndarray:
    return np.random.default_rng([seed, 1]).normal(size=DIM).astype(np.float32)


def blended(vectors: np.ndarray, vector: np.ndarray, edges: np.ndarray, weight: float) -> np.ndarray:
    """Every item's score: float64 [num_items]."""
    dots = vectors.astype(np.float64) @ vector.astype(np.float64)
    spread = edges.astype(np.float64).std()
    return (edges / spread if spread else np.zeros(NUM_ITEMS)) + weight * dots / dots.std()


@settings(deadline=None)
@given(
    seed=st.integers(0, 10_000),
    reached=st.integers(0, NUM_ITEMS),
    weight=st.sampled_from([0.0, 0.1, 0.5, 1.0, 8.0]),
    k=st.integers(1, NUM_ITEMS + 20),
    hidden=st.sets(st.integers(0, NUM_ITEMS - 1)),
)
def test_the_ranking_is_the_exact_one_of_what_is_not_hidden(
    index: ItemIndex, vectors: np.ndarray, seed: int, reached: int, weight: float, k: int, hidden: set[int]
) -> None:
    vector, edges = some_vector(seed), some_edges(seed, reached)
    items, scores = top(index, vector, edges, weight, k, np.array(sorted(hidden), dtype=np.int64))
    exact = blended(vectors, vector, edges, weight)
    shown = np.setdiff1d(EVERY, sorted(hidden))
    assert hidden.isdisjoint(items.tolist())
    assert len(set(items.tolist())) == min(k, len(shown))
    np.testing.assert_allclose(scores, np.sort(exact[shown])[::-1][:k], atol=1e-4)
    np.testing.assert_allclose(scores, exact[items], atol=1e-4)


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), k=st.integers(1, NUM_ITEMS))
def test_an_item_far_down_the_towers_list_comes_first_where_the_edges_say_so(
    index: ItemIndex, vectors: np.ndarray, seed: int, k: int
) -> None:
    vector, edges = some_vector(seed), np.zeros(NUM_ITEMS, np.float32)
    last = int(np.argmin(vectors @ vector))
    edges[last] = 0.01
    assert top(index, vector, edges, 0.5, k, NONE)[0][0] == last


@settings(deadline=None)
@given(seed=st.integers(0, 10_000), reached=st.integers(1, NUM_ITEMS))
def test_edges_that_all_speak_against_an_item_let_the_others_ahead(
    index: ItemIndex, vectors: np.ndarray, seed: int, reached: int
) -> None:
    """Where the items that edges reach are the worst, more of the index is asked for."""
    vector, edges = some_vector(seed), -np.abs(some_edges(seed, reached))
    items, _ = top(index, vector, edges, 0.0, NUM_ITEMS - reached or 1, NONE)
    if reached < NUM_ITEMS:
        assert (edges[items] == 0).all()


def test_more_than_the_catalogue_is_all_of_it(index: ItemIndex, vectors: np.ndarray) -> None:
    vector, edges = some_vector(1), some_edges(1, 9)
    items, _ = top(index, vector, edges, 0.5, 10 * NUM_ITEMS, NONE)
    assert items.tolist() == np.argsort(-blended(vectors, vector, edges, 0.5)).tolist()


def test_without_edges_the_towers_rank_alone(index: ItemIndex, vectors: np.ndarray) -> None:
    vector = some_vector(2)
    items, _ = top(index, vector, np.zeros(NUM_ITEMS, np.float32), 0.5, 12, NONE)
    assert items.tolist() == np.argsort(-(vectors @ vector))[:12].tolist()


def test_without_weight_of_the_towers_the_edges_rank_alone(index: ItemIndex) -> None:
    edges = some_edges(3, 30)
    items, scores = top(index, some_vector(3), edges, 0.0, 10, NONE)
    assert items.tolist() == np.argsort(-edges)[:10].tolist()
    np.testing.assert_allclose(scores, edges[items] / edges.std(), rtol=1e-5)


def test_where_everything_is_hidden_nothing_is_listed(index: ItemIndex) -> None:
    items, scores = top(index, some_vector(4), some_edges(4, 9), 0.5, 10, EVERY)
    assert (items.tolist(), scores.tolist()) == ([], [])


def test_a_user_whom_the_towers_tell_nothing_about_is_the_edges_alone(index: ItemIndex) -> None:
    edges = some_edges(5, 20)
    items, _ = top(index, np.zeros(DIM, np.float32), edges, 0.5, 5, NONE)
    assert items.tolist() == np.argsort(-edges)[:5].tolist()


def test_a_search_asks_for_more_until_enough_are_left(vectors: np.ndarray) -> None:
    """The nearest ten are not allowed: the first answer is not enough, the last is not of the whole catalogue."""
    index, vector, asked = ItemIndex(vectors, FaultlessSearch(vectors), effort=1), some_vector(6), []
    nearest = index.nearest
    with mock.patch.object(index, "nearest", lambda query, n: asked.append(n) or nearest(query, n)):
        order = np.argsort(-(vectors @ vector))
        items, _ = top(index, vector, np.zeros(NUM_ITEMS, np.float32), 1.0, 4, order[:10])
    assert items.tolist() == order[10:14].tolist()
    assert asked == [10, 40]


@settings(deadline=None)
@given(sums=arrays(np.float32, NUM_ITEMS, elements=st.sampled_from([0, 0, 0, 0.25, -1.5, 3])))
def test_the_spread_of_edges_counts_the_items_that_none_reaches(sums: np.ndarray) -> None:
    items = np.flatnonzero(sums)
    spread = EdgeScores(items, sums[items], NUM_ITEMS).spread()
    assert spread == pytest.approx(sums.astype(np.float64).std(), abs=1e-9)


@settings(deadline=None)
@given(
    mine=st.dictionaries(st.integers(0, NUM_ITEMS - 1), st.sampled_from([0.5, -1.0, 2.0])),
    more=st.dictionaries(st.integers(0, NUM_ITEMS - 1), st.sampled_from([0.25, 3.0])),
)
def test_what_is_popular_is_added_item_by_item(mine: dict[int, float], more: dict[int, float]) -> None:
    def sparse(values: dict[int, float]) -> tuple[np.ndarray, np.ndarray]:
        return np.array(sorted(values), np.int64), np.array([values[i] for i in sorted(values)], np.float32)

    both = EdgeScores(*sparse(mine), NUM_ITEMS).plus(*sparse(more))
    assert both.items.tolist() == sorted({*mine, *more})
    assert both.values.tolist() == [mine.get(i, 0) + more.get(i, 0) for i in both.items.tolist()]
