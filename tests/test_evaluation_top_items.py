"""The best items of each user: order, ties, masked items."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from graphkit.evaluation.top_items import tie_order, top_items

NOTHING = (np.zeros(0, np.int64), np.zeros(0, np.int32))


def test_best_first_without_the_masked_ones() -> None:
    scores = np.array([[0.1, 0.9, 0.5, -2.0], [3.0, 2.0, 1.0, 0.0]], np.float32)
    masked = (np.array([0, 1]), np.array([1, 0], np.int32))
    assert top_items(scores, masked, np.arange(4), 3).tolist() == [[2, 0, 3], [1, 2, 3]]


def test_a_catalogue_shorter_than_the_list_is_filled_up_with_none() -> None:
    scores = np.array([[1.0, 2.0, 3.0]], np.float32)
    masked = (np.array([0]), np.array([2], np.int32))
    assert top_items(scores, masked, np.arange(3), 5).tolist() == [[1, 0, -1, -1, -1]]


@given(st.lists(st.lists(st.floats(-(2.0**60), 2.0**60, width=32), min_size=12, max_size=12), min_size=1, max_size=4),
       st.integers(1, 12), st.integers(0, 9), st.sets(st.integers(0, 11), max_size=6))  # fmt: skip
def test_equals_a_stable_sort_by_score_then_tie_order(
    table: list[list[float]], length: int, seed: int, hidden: set[int]
) -> None:
    scores = np.array(table, np.float32)
    scores[:, 3] = scores[:, 7]  # at least one tie
    scores[0, :2] = [0.0, -0.0]  # equal numbers of different bits
    ties = tie_order(12, seed)
    left = [i for i in range(12) if i not in hidden]
    expected = [sorted(left, key=lambda i, row=row: (-row[i], -ties[i]))[:length] for row in scores]
    filled = [row + [-1] * (length - len(row)) for row in expected]
    masked = (np.repeat(np.arange(len(table)), len(hidden)), np.array(sorted(hidden) * len(table), np.int32))
    assert top_items(scores, masked, ties, length).tolist() == filled


def test_ties_follow_the_seed_and_not_the_row_of_the_item() -> None:
    flat = np.zeros((1, 200), np.float32)
    lists = [tuple(top_items(flat, NOTHING, tie_order(200, seed), 20)[0]) for seed in range(30)]
    assert lists[0] == tuple(top_items(flat, NOTHING, tie_order(200, 0), 20)[0])
    assert len(set(lists)) == 30
    # A list by row would have a mean of 9.5, or 189.5 the other way round.
    assert 80 < np.mean(lists) < 120


def test_a_row_that_is_the_same_for_all_is_read_as_it_stands() -> None:
    same = np.broadcast_to(np.array([3, 1, 2], np.float32), (2, 3))
    assert top_items(same, NOTHING, np.arange(3), 2).tolist() == [[0, 2], [0, 2]]


@given(
    seed=st.integers(0, 1000),
    length=st.sampled_from([1, 10, 100, 600]),
    levels=st.sampled_from([2, 30, 10_000]),
    hidden=st.sampled_from([0, 5, 300, 4000]),
)
def test_a_large_catalogue_is_the_sorted_one_too(seed: int, length: int, levels: int, hidden: int) -> None:
    """Where lists are short beside it, what their last place needs is estimated, also if the best are hidden."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, levels, (2, 5000)).astype(np.float32)
    gone = np.sort(np.argsort(-scores[0], kind="stable")[:hidden])  # the best of the first row
    ties = tie_order(5000, seed)
    left = np.setdiff1d(np.arange(5000), gone)
    expected = [left[np.lexsort((-ties[left], -row[left]))][:length].tolist() for row in scores]
    found = top_items(scores, (np.repeat([0, 1], hidden), np.tile(gone, 2).astype(np.int32)), ties, length)
    assert [row[row >= 0].tolist() for row in found] == expected
