"""Ranking metrics against hand-computed values and a plain loop per user."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphkit.evaluation.metrics import user_metrics


def hits_at(*ranks: int) -> np.ndarray:
    """One list of 100 with hits at these ranks, the first being 1."""
    hits = np.zeros((1, 100), dtype=bool)
    hits[0, [rank - 1 for rank in ranks]] = True
    return hits


def test_a_user_with_two_of_three_items_found() -> None:
    hit, recall, ndcg, mrr = user_metrics(hits_at(2, 15), np.array([3]))[0]
    assert hit == 1
    assert recall == pytest.approx(2 / 3)
    ideal = 1 + 1 / math.log2(3) + 1 / 2
    assert ndcg == pytest.approx((1 / math.log2(3)) / ideal)  # the hit at 15 is beyond the 10
    assert mrr == pytest.approx(1 / 2)


@pytest.mark.parametrize(
    ("rank", "expected"),
    [(10, (1, 1, 1 / math.log2(11), 0.1)), (11, (0, 1, 0, 1 / 11)), (20, (0, 1, 0, 0.05)), (21, (0, 0, 0, 1 / 21)),
     (100, (0, 0, 0, 0.01))],
)  # fmt: skip
def test_each_metric_ends_where_its_name_says(rank: int, expected: tuple[float, ...]) -> None:
    assert user_metrics(hits_at(rank), np.array([1]))[0] == pytest.approx(expected)


def test_nothing_found_is_zero() -> None:
    assert user_metrics(hits_at(), np.array([4])).tolist() == [[0, 0, 0, 0]]


def test_recall_is_not_capped_and_the_ideal_of_ndcg_is() -> None:
    hits = hits_at(*range(1, 21))
    _, recall, ndcg, _ = user_metrics(hits, np.array([40]))[0]
    assert recall == pytest.approx(20 / 40)
    assert ndcg == pytest.approx(1)


def by_loop(hits: list[bool], num_positives: int) -> list[float]:
    gain = sum(1 / math.log2(rank + 1) for rank, hit in enumerate(hits[:10], start=1) if hit)
    ideal = sum(1 / math.log2(rank + 1) for rank in range(1, min(10, num_positives) + 1))
    first = next((rank for rank, hit in enumerate(hits, start=1) if hit), None)
    return [float(any(hits[:10])), sum(hits[:20]) / num_positives, gain / ideal, 1 / first if first else 0.0]


@given(st.lists(st.tuples(st.sets(st.integers(0, 99), max_size=40), st.integers(0, 30)), min_size=1, max_size=8))
def test_equals_a_loop_over_users(users: list[tuple[set[int], int]]) -> None:
    hits = np.zeros((len(users), 100), dtype=bool)
    for row, (places, _) in enumerate(users):
        hits[row, list(places)] = True
    num_positives = np.array([max(1, len(places) + missed) for places, missed in users])
    expected = [by_loop(row.tolist(), int(n)) for row, n in zip(hits, num_positives, strict=True)]
    np.testing.assert_allclose(user_metrics(hits, num_positives), expected, rtol=1e-12)
