"""What describe measures, on numbers that can be worked out by hand or counted by brute force."""

from __future__ import annotations

from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import sparse

from graphkit.datasets.weak_signals import count_odds
from graphkit.describe import pairs
from graphkit.describe.concentration import Concentration, concentration
from graphkit.describe.figures import Figure, Histogram, NotMeasurable
from graphkit.describe.observations import Part, _part, _verdict
from graphkit.describe.pairs import compare, draw_apart, draw_sharing, draw_through, mean_error, shared_columns
from graphkit.describe.taste import user_tastes
from graphkit.describe.weak_signals import co_occurrence

amounts = hnp.arrays(np.float64, st.integers(1, 40), elements=st.integers(0, 1000).map(float))
matrices = hnp.arrays(np.int8, st.tuples(st.integers(1, 7), st.integers(1, 6)), elements=st.integers(0, 1))


def curve_of(amount: list[float], top: float = 0.25) -> Concentration:
    found = concentration(np.array(amount, np.float64), "users", "hours", top, seed=0)
    assert isinstance(found, Concentration)
    return found


def csr(matrix: Any) -> Any:
    return sparse.csr_array(np.asarray(matrix, np.float32))


def sharing(matrix: Any) -> set[tuple[int, int]]:
    """Pairs of rows that share a column, by looking at each."""
    return {(i, j) for i, j in combinations(range(len(matrix)), 2) if (matrix[i] & matrix[j]).any()}


# --- concentration --------------------------------------------------------------------------------------


def test_concentration_of_four_users() -> None:
    found = curve_of([40, 600, 60, 100])
    assert found.top_share.value == 0.75
    assert [found.curve[found.steps.index(x)].value for x in (0.0, 0.5, 0.75, 1.0)] == [0, 0.875, 0.95, 1]
    # Mean absolute difference over twice the mean: (560+540+500+60+40+20) * 2 / 16 / (2 * 200).
    assert found.gini.value == pytest.approx(1720 * 2 / 16 / 400)


def test_equal_shares_have_no_concentration_and_no_spread() -> None:
    found = curve_of([7.0] * 50)
    assert (found.gini.value, found.top_share.value) == (pytest.approx(0), pytest.approx(0.25))
    assert (found.top_share.low, found.top_share.high) == (pytest.approx(0.25), pytest.approx(0.25))


def test_nothing_listened_to_has_no_curve() -> None:
    found = concentration(np.zeros(3), "titles", "hours", 0.2, seed=0)
    assert found == NotMeasurable("no hours in the window")


@given(amounts.filter(lambda amount: amount.sum() > 0))
@settings(max_examples=60, deadline=None)
def test_a_curve_rises_ever_slower_to_one_and_does_not_depend_on_unit_or_order(amount: Any) -> None:
    found = curve_of(amount.tolist())
    values = [point.value for point in found.curve]
    steps = np.diff(values)
    assert values[0] == 0
    assert values[-1] == pytest.approx(1)
    assert (np.diff(steps) < 1e-9).all()
    assert -1e-9 <= found.gini.value < 1
    assert all(point.low <= point.high for point in found.curve)
    other = curve_of((amount[::-1] * 3600).tolist())
    assert [point.value for point in other.curve] == pytest.approx(values)


def test_the_interval_of_a_large_sample_is_narrower_and_holds_the_value() -> None:
    rng = np.random.default_rng(3)
    few, many = (curve_of(rng.lognormal(0, 1, n).tolist()).gini for n in (100, 10_000))
    assert few.low < few.value < few.high
    assert many.low < many.value < many.high
    assert (many.high - many.low) < (few.high - few.low) / 4


# --- pairs ----------------------------------------------------------------------------------------------


@given(matrices)
@settings(max_examples=60, deadline=None)
def test_all_pairs_that_share_are_found_and_no_other(matrix: Any) -> None:
    found = draw_sharing(csr(matrix), np.random.default_rng(0))
    assert {tuple(pair) for pair in found.tolist()} == sharing(matrix)


def test_a_pair_that_shares_much_is_drawn_no_more_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pairs, "_ROUNDS", 1)
    monkeypatch.setattr(pairs, "_CANDIDATES", 1)
    matrix = csr([[1] * 9 + [0], [1] * 9 + [0], [0] * 9 + [1], [0] * 9 + [1]])
    rng = np.random.default_rng(0)
    drawn = [tuple(pair) for _ in range(2000) for pair in draw_sharing(matrix, rng).tolist()]
    assert set(drawn) == {(0, 1), (2, 3)}
    assert drawn.count((0, 1)) / len(drawn) == pytest.approx(0.5, abs=0.1)  # 0.9 if every common item counted


@given(matrices, st.data())
@settings(max_examples=60, deadline=None)
def test_titles_joined_through_another_type_alone(target: Any, data: st.DataObject) -> None:
    users = len(target)
    other = data.draw(hnp.arrays(np.int8, (users, 4), elements=st.integers(0, 1)))
    keep = target.any(axis=1)
    target, other = target[keep], other[keep]
    direct = sharing(target.T)
    paths = {
        tuple(sorted((a, b)))
        for u in range(len(target))
        for v in range(len(target))
        if u != v and (other[u] & other[v]).any()
        for a in np.flatnonzero(target[u])
        for b in np.flatnonzero(target[v])
        if a != b
    }
    found = draw_through(csr(target), csr(other), np.random.default_rng(0))
    assert {tuple(pair) for pair in found.tolist()} == paths - direct


def test_random_pairs_apart_share_nothing() -> None:
    rng = np.random.default_rng(0)
    matrix = (rng.random((30, 8)) < 0.15).astype(np.int8)
    found = draw_apart(csr(matrix), 500, rng)
    assert len(found) == 500
    assert not (matrix[found[:, 0]] & matrix[found[:, 1]]).any()
    assert (found[:, 0] != found[:, 1]).all()
    assert not len(draw_apart(csr(np.ones((4, 2))), 50, rng))


def test_shared_columns_are_counted_the_same_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    matrix = (rng.random((20, 30)) < 0.4).astype(np.int8)
    ends = rng.integers(0, 20, (200, 2))
    expected = (matrix[ends[:, 0]] & matrix[ends[:, 1]]).sum(axis=1).tolist()
    assert shared_columns(csr(matrix), ends).tolist() == expected
    monkeypatch.setattr(pairs, "_ENTRIES", 50)
    assert shared_columns(csr(matrix), ends).tolist() == expected
    assert shared_columns(csr(matrix), ends[:0]).tolist() == []


def test_error_of_pairs_without_a_common_end_is_that_of_a_mean() -> None:
    values = np.array([1.0, 2.0, 4.0, 9.0])
    ends = np.arange(8).reshape(4, 2)
    influence = (values - values.mean()) / 4
    assert mean_error(ends, influence) == pytest.approx(values.std() / 2)


def test_error_of_pairs_with_a_common_end_counts_it() -> None:
    # Node 0 is in both pairs: (e1 + e2)² + e1² + e2² - (e1² + e2²) = (e1 + e2)².
    assert mean_error(np.array([[0, 1], [0, 2]]), np.array([0.3, 0.5])) == pytest.approx(0.8)


def test_intervals_cover_where_pairs_share_ends() -> None:
    """Values a_i + a_j + noise of mean 0: an interval that took pairs for independent would miss too often."""
    rng = np.random.default_rng(0)
    covered = naive = 0
    for _ in range(300):
        nodes, ends = rng.standard_normal(40), rng.integers(0, 40, (400, 2))
        ends = ends[ends[:, 0] != ends[:, 1]]
        values = nodes[ends].sum(axis=1) + rng.standard_normal(len(ends))
        mean = values.mean()
        figure = Figure.normal(mean, mean_error(ends, (values - mean) / len(ends)))
        covered += figure.low < 0 < figure.high
        naive += abs(mean) < 1.96 * values.std() / len(ends) ** 0.5
    assert covered / 300 > 0.88
    assert naive / 300 < 0.6


def test_a_gap_needs_enough_pairs_and_is_a_difference() -> None:
    ends = np.arange(80).reshape(40, 2)
    joined = np.tile([0.5, 0.7], 20)
    gap = compare(ends, joined, ends + 100, joined - 0.2)
    assert not isinstance(gap, NotMeasurable)
    assert (gap.joined.value, gap.random.value, gap.difference.value) == pytest.approx((0.6, 0.4, 0.2))
    # Two means of 40 values with a deviation of 0.1 each.
    assert gap.difference.high - 0.2 == pytest.approx(1.96 * 0.1 * (2 / 40) ** 0.5)
    assert compare(ends[:5], joined[:5], ends, joined) == NotMeasurable("only 5 such pairs, 20 are needed")


def test_histogram_shares_add_up() -> None:
    found = Histogram.of({"a": np.array([0.0, 0.5, 1.0]), "b": np.array([0.25])}, num_bins=4)
    assert found.edges == [0, 0.25, 0.5, 0.75, 1]
    assert found.shares == {"a": pytest.approx([1 / 3, 0, 1 / 3, 1 / 3]), "b": [0, 1, 0, 0]}


def test_tastes_of_two_camps_are_apart() -> None:
    rng = np.random.default_rng(0)
    camps = np.repeat([0, 1], 30)
    matrix = (rng.random((60, 40)) < np.where(camps[:, None] == (np.arange(40) // 20)[None], 0.4, 0.02)).astype(float)
    matrix[0] = 0
    tastes = user_tastes(csr(matrix), seed=0)
    cosine = tastes @ tastes.T
    assert np.linalg.norm(tastes[1:], axis=1) == pytest.approx(np.ones(59), abs=1e-5)
    assert not tastes[0].any()
    assert cosine[1:30, 1:30].mean() > cosine[1:30, 30:].mean() + 0.3


# --- weak signals ---------------------------------------------------------------------------------------


def interest(counts: list[int], streamed: list[bool], users: list[int] | None = None) -> pl.DataFrame:
    return pl.DataFrame({"user": users or list(range(len(counts))), "streamed": streamed, "follow": counts})


def test_odds_per_count_of_a_presence_are_the_cross_product() -> None:
    pairs_of = [(1, True)] * 6 + [(1, False)] * 2 + [(0, True)] * 3 + [(0, False)] * 3
    found = count_odds(interest(*map(list, zip(*pairs_of, strict=True))), "follow")
    assert found is not None
    assert found.ratio == pytest.approx(3.0)
    assert found.low < 3 < found.high


def test_odds_per_count_are_those_of_an_independent_regression() -> None:
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    count = rng.poisson(1.5, 800)
    streamed = rng.random(800) < 1 / (1 + np.exp(1 - 0.4 * count))
    found = count_odds(interest(count.tolist(), streamed.tolist()), "follow")
    model = LogisticRegression(C=1e10, tol=1e-9, max_iter=1000).fit(count[:, None], streamed)
    assert found is not None
    assert found.ratio == pytest.approx(float(np.exp(model.coef_[0, 0])), rel=1e-3)
    assert found.low < np.exp(0.4) < found.high


def test_copies_of_a_user_s_pairs_tell_nothing_new() -> None:
    rng = np.random.default_rng(1)
    count, streamed = rng.poisson(1, 200), rng.random(200) < 0.4
    users = np.arange(200)
    once = count_odds(interest(count.tolist(), streamed.tolist(), users.tolist()), "follow")
    thrice = interest(*(np.tile(column, 3).tolist() for column in (count, streamed, users)))
    again = count_odds(thrice, "follow")
    assert once is not None
    assert again is not None
    assert (again.low, again.ratio, again.high) == pytest.approx((once.low, once.ratio, once.high))


@pytest.mark.parametrize(
    ("counts", "streamed"),
    [([1, 1, 1], [True, False, True]), ([1, 2, 3], [True] * 3), ([1, 1, 5, 5], [False, False, True, True])],
)
def test_no_odds_without_variation_or_with_a_decided_outcome(counts: list[int], streamed: list[bool]) -> None:
    assert count_odds(interest(counts, streamed), "follow") is None


def test_co_occurrence_by_hand() -> None:
    rows = pl.DataFrame(
        [(0, 0, "follow"), (0, 0, "stream"), (0, 0, "stream"), (0, 1, "follow"), (1, 0, "stream"), (1, 1, "stream")],
        schema={"user": pl.UInt32, "item": pl.UInt32, "signal": pl.String},
        orient="row",
    )
    found = co_occurrence(rows, ["stream", "follow", "preview"], seed=0)
    values = [[None if also is None else also.value for also in row] for row in found.also]
    assert values == [[1, pytest.approx(1 / 3), 0], [0.5, 1, 0], [None, None, None]]
    assert [share.value for share in found.share] == [0.75, 0.5, 0]
    assert found.pairs == 4
    assert found.share[0].low == 0.5  # a resample of the first user alone


# --- observations ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("figure", "verdict"),
    [
        (Figure(0.6, 0.51, 0.7), "holds"),
        (Figure(0.6, 0.5, 0.7), "undecided"),
        (Figure(0.4, 0.3, 0.5), "undecided"),
        (Figure(0.4, 0.3, 0.49), "does not hold"),
        (NotMeasurable("no timestamps"), "not measurable"),
    ],
)
def test_a_figure_holds_where_its_whole_interval_does(figure: Figure | NotMeasurable, verdict: str) -> None:
    assert _part("x", "share", figure, 0.5, "75 %").verdict == verdict


@pytest.mark.parametrize(
    ("verdicts", "planted", "expected"),
    [
        (["holds", "holds"], False, "holds"),
        (["holds", "not measurable"], False, "holds"),
        (["holds", "undecided"], False, "mixed"),
        (["holds", "undecided"], True, "planted"),
        (["not measurable"], True, "not measurable"),
        (["undecided"], False, "undecided"),
    ],
)
def test_the_verdict_of_an_observation(verdicts: list[str], planted: bool, expected: str) -> None:
    parts = [Part("x", "share", NotMeasurable(""), "", verdict) for verdict in verdicts]
    assert _verdict(parts, planted) == expected
