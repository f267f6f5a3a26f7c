"""Ranking metrics against hand-computed values and a plain loop per user."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphkit.evaluation.metrics import gini, is_user_metric, novelty, user_metrics


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


def test_other_lengths_are_asked_for_by_name() -> None:
    found = user_metrics(hits_at(3, 15), np.array([2]), ("HR@2", "HR@3", "Recall@15", "NDCG@20", "MRR@2"))[0]
    ideal = 1 + 1 / math.log2(3)
    assert found == pytest.approx([0, 1, 1, (1 / 2 + 1 / 4) / ideal, 0])
    assert [is_user_metric(name) for name in ("NDCG@100", "HR@1")] == [True, True]
    assert not any(map(is_user_metric, ("NDCG@101", "NDCG@0", "NDCG", "Coverage@10", "hr@10")))


def test_gini_of_equal_and_of_single_exposure() -> None:
    assert gini(np.array([3, 3, 3, 3])) == pytest.approx(0)
    assert gini(np.array([0, 0, 0, 8])) == pytest.approx(3 / 4)
    assert gini(np.array([1, 3])) == pytest.approx(1 / 4)
    assert gini(np.zeros(3, np.int64)) == 0


def test_an_empty_list_has_no_novelty() -> None:
    top = np.full((1, 100), -1)
    assert novelty(top, np.array([1, 2]), 3).tolist() == [0]


@pytest.mark.filterwarnings("ignore")  # the library's own imports warn
def test_agrees_with_an_independent_library() -> None:
    ranx = pytest.importorskip("ranx", reason="ranx is not installed: pip install ranx")
    rng = np.random.default_rng(7)
    names = ("HR@10", "Recall@20", "NDCG@10", "MRR@100", "NDCG@20", "HR@1", "Recall@100")
    theirs = ["hit_rate@10", "recall@20", "ndcg@10", "mrr@100", "ndcg@20", "hit_rate@1", "recall@100"]
    wanted, listed, hits, count = {}, {}, [], []
    for user in range(200):
        items, relevant = rng.permutation(300)[:100], rng.permutation(300)[: rng.integers(1, 60)]
        wanted[f"u{user}"] = {f"i{item}": 1 for item in relevant}
        listed[f"u{user}"] = {f"i{item}": 100.0 - place for place, item in enumerate(items)}
        hits.append(np.isin(items, relevant))
        count.append(len(relevant))
    ranx.evaluate(qrels := ranx.Qrels(wanted), run := ranx.Run(listed), theirs, return_mean=False)
    scores = ranx.evaluate(qrels, run, theirs, return_mean=False)
    order = [int(name[1:]) for name in run.keys()]  # noqa: SIM118 - a Run is no mapping
    found = user_metrics(np.array(hits), np.array(count), names)[order]
    for column, metric in enumerate(theirs):
        np.testing.assert_allclose(found[:, column], scores[metric], rtol=0, atol=1e-9, err_msg=metric)
