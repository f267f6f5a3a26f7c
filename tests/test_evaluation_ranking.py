"""Full-catalogue lists: order, ties, masked items, blocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphkit.errors import GraphkitError
from graphkit.evaluation import ranking
from graphkit.evaluation.groups import TargetTask
from graphkit.evaluation.metrics import user_metrics
from graphkit.evaluation.ranking import rank_users, tie_order, top_items
from graphkit.user_features import History

NOTHING = (np.zeros(0, np.int64), np.zeros(0, np.int32))


@dataclass(frozen=True)
class Table:
    """A model whose scores are a table [num_users, num_items]."""

    table: np.ndarray
    name: str = "table"

    def scores(self, users: np.ndarray, item_type: str) -> np.ndarray:
        return self.table[users].astype(np.float32)


def history(lists: list[list[int]]) -> History:
    indptr = np.cumsum([0, *map(len, lists)])
    return History(indptr.astype(np.int64), np.array([i for items in lists for i in items], np.int32))


def task(positives: list[list[int]], masked: list[list[int]], num_items: int, warm: list[bool]) -> TargetTask:
    users = np.arange(len(positives))
    return TargetTask("book", num_items, users, np.array(warm), history(positives), history(masked), 0)


def test_best_first_without_the_masked_ones() -> None:
    scores = np.array([[0.1, 0.9, 0.5, -2.0], [3.0, 2.0, 1.0, 0.0]], np.float32)
    masked = (np.array([0, 1]), np.array([1, 0], np.int32))
    assert top_items(scores, masked, np.arange(4), 3).tolist() == [[2, 0, 3], [1, 2, 3]]


def test_a_catalogue_shorter_than_the_list_is_filled_up_with_none() -> None:
    scores = np.array([[1.0, 2.0, 3.0]], np.float32)
    masked = (np.array([0]), np.array([2], np.int32))
    assert top_items(scores, masked, np.arange(3), 5).tolist() == [[1, 0, -1, -1, -1]]


@given(st.lists(st.lists(st.floats(-(2.0**60), 2.0**60, width=32), min_size=12, max_size=12), min_size=1, max_size=4),
       st.integers(1, 12), st.integers(0, 9))  # fmt: skip
def test_equals_a_stable_sort_by_score_then_tie_order(table: list[list[float]], length: int, seed: int) -> None:
    scores = np.array(table, np.float32)
    scores[:, 3] = scores[:, 7]  # at least one tie
    scores[0, :2] = [0.0, -0.0]  # equal numbers of different bits
    ties = tie_order(12, seed)
    expected = [sorted(range(12), key=lambda i, row=row: (-row[i], -ties[i]))[:length] for row in scores]
    assert top_items(scores, NOTHING, ties, length).tolist() == expected


def test_ties_follow_the_seed_and_not_the_row_of_the_item() -> None:
    flat = np.zeros((1, 200), np.float32)
    lists = [tuple(top_items(flat, NOTHING, tie_order(200, seed), 20)[0]) for seed in range(30)]
    assert lists[0] == tuple(top_items(flat, NOTHING, tie_order(200, 0), 20)[0])
    assert len(set(lists)) == 30
    # A list by row would have a mean of 9.5, or 189.5 the other way round.
    assert 80 < np.mean(lists) < 120


def test_metrics_and_coverage_of_each_group() -> None:
    table = np.array([[4, 3, 2, 1, 0], [0, 1, 2, 3, 4], [4, 3, 2, 1, 0]])
    found = rank_users(Table(table), task([[1], [0], [4]], [[0], [4], []], 5, [True, False, True]), seed=0)
    # User 0 may not see item 0, so item 1 is first; user 1's item 0 is fourth of four; user 2's is fifth.
    assert found.values[:, 3].tolist() == pytest.approx([1, 1 / 4, 1 / 5])
    assert found.shown["warm", "Coverage@10"].all()
    assert found.shown["cold", "Coverage@100"].tolist() == [True, True, True, True, False]


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    table = rng.integers(0, 5, (40, 150))
    positives = [rng.permutation(150)[:3].tolist() for _ in range(40)]
    masked = [sorted(set(rng.permutation(150)[:9].tolist()) - set(items)) for items in positives]
    whole = rank_users(Table(table), task(positives, masked, 150, [i % 2 == 0 for i in range(40)]), 3)
    monkeypatch.setattr(ranking, "BLOCK_SCORES", 450)
    pieces = rank_users(Table(table), task(positives, masked, 150, [i % 2 == 0 for i in range(40)]), 3)
    np.testing.assert_array_equal(whole.values, pieces.values)
    for key, seen in whole.shown.items():
        np.testing.assert_array_equal(seen, pieces.shown[key])


def test_equals_a_loop_over_users() -> None:
    rng = np.random.default_rng(1)
    num_items, ties = 130, tie_order(130, 5)
    table = rng.integers(0, 40, (25, num_items))
    positives = [sorted(rng.permutation(num_items)[: rng.integers(1, 30)].tolist()) for _ in range(25)]
    masked = [sorted(set(rng.permutation(num_items)[:20].tolist()) - set(items)) for items in positives]
    hits = np.zeros((25, 100), bool)
    for user in range(25):
        left = [i for i in range(num_items) if i not in masked[user]]
        left.sort(key=lambda i: (-table[user, i], -ties[i]))
        hits[user] = [item in positives[user] for item in left[:100]]
    expected = user_metrics(hits, np.array([len(items) for items in positives]))
    found = rank_users(Table(table), task(positives, masked, num_items, [True] * 25), 5)
    np.testing.assert_allclose(found.values, expected)


def test_a_score_that_is_no_number_is_refused() -> None:
    table = np.ones((2, 4))
    table[1, 2] = np.nan
    with pytest.raises(GraphkitError, match=r"table gives a score that is not a number[\s\S]*user 1, book 2"):
        rank_users(Table(table), task([[0], [0]], [[], []], 4, [True, True]), 0)
