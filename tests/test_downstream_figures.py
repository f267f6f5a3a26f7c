"""Figures of the downstream laboratory, by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from graphkit.downstream.clusters import ndcg, nearest
from graphkit.downstream.figures import AucFigure, Averaged, MeanFigure
from graphkit.downstream.popularity import best_threshold
from graphkit.downstream.table import Cell, resampled_users, task_cells

ONE = np.ones((1, 2))


def test_auc_by_hand() -> None:
    # user 0: + 3, - 1; user 1: + 2, - 2, - 0. Pairs won: (3,1) (3,2) (3,0) (2,1) (2,0), and (2,2) half: 5.5 of 6.
    figure = AucFigure(
        np.array([3.0, 1, 2, 2, 0]), np.array([True, False, True, False, False]), np.array([0, 0, 1, 1, 1])
    )
    assert figure.of(ONE)[0] == pytest.approx(5.5 / 6)
    # user 1 twice: positives 3, 2, 2; negatives 1, 2, 2, 0, 0: won 5 + 2 · (1/2 + 1/2 + 3) = 13 of 15.
    assert figure.of(np.array([[1.0, 2.0]]))[0] == pytest.approx(13 / 15)
    # without user 0: + 2 against - 2 and - 0.
    assert figure.of(np.array([[0.0, 1.0]]))[0] == pytest.approx(1.5 / 2)
    assert np.isnan(figure.of(np.zeros((1, 2)))[0])


@given(st.lists(st.tuples(st.integers(0, 4), st.booleans()), min_size=2, max_size=30), st.integers(0, 9))
def test_auc_of_weighted_users_is_that_of_their_copies(examples: list[tuple[int, bool]], seed: int) -> None:
    scores, labels = np.array([float(s) for s, _ in examples]), np.array([label for _, label in examples])
    rng = np.random.default_rng(seed)
    users, weights = rng.integers(0, 3, len(scores)), rng.integers(0, 4, 3)
    times = weights[users]
    found = AucFigure(scores, labels, users).of(weights.astype(float)[None])[0]
    repeated = np.repeat(labels, times)
    if repeated.all() or not repeated.any():
        assert np.isnan(found)
    else:
        assert found == pytest.approx(roc_auc_score(repeated, np.repeat(scores, times)))


def test_a_mean_runs_over_examples_and_trainings_count_alike() -> None:
    figure = MeanFigure(np.array([1.0, 3.0]), np.array([2.0, 3.0]))
    assert figure.of(ONE)[0] == pytest.approx(4 / 5)
    assert figure.of(np.array([[3.0, 1.0]]))[0] == pytest.approx(6 / 9)
    other = MeanFigure(np.array([0.0, 0.0]), np.array([2.0, 3.0]))
    assert Averaged([figure, other]).of(ONE)[0] == pytest.approx(2 / 5)


def test_ndcg_by_hand() -> None:
    gains = np.array([[True, False, True], [False, False, False], [True, True, True], [False, True, False]])
    first, second, third = 1.0, 1 / np.log2(3), 0.5
    expected = [(first + third) / (first + second), 0, 1, second / (first + second + third)]
    np.testing.assert_allclose(ndcg(gains, np.array([2, 2, 5, 7])), expected)


def test_nearest_are_by_cosine_without_oneself() -> None:
    vectors = np.array([[1, 0], [5, 1], [0, 2], [-1, 0], [1, 1]], np.float32)
    np.testing.assert_array_equal(nearest(vectors, np.array([0, 2]), 3, 0), [[1, 4, 2], [4, 1, 0]])
    everyone = nearest(vectors, np.array([3]), 9, 0)[0]
    assert set(everyone[:4]) == {0, 1, 2, 4}
    assert set(everyone[4:]) == {-1}


def test_equals_are_in_a_seeded_order_not_that_of_numbers() -> None:
    same = np.ones((50, 2), np.float32)
    orders = [nearest(same, np.array([0]), 49, seed)[0].tolist() for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert orders[0] != sorted(orders[0])


def test_the_threshold_is_right_most_often() -> None:
    scores = np.array([5, 4, 3, 2, 1], np.float32)
    assert 3 < best_threshold(scores, np.array([True, True, False, False, False])) < 4
    assert 2 < best_threshold(scores, np.array([True, False, True, False, False])) < 3 or (
        4 < best_threshold(scores, np.array([True, False, True, False, False])) < 5
    )
    # equals cannot be told apart: the threshold is above all or below all
    equal = np.ones(3, np.float32)
    assert best_threshold(equal, np.array([True, True, False])) < 1


def test_differences_are_paired_and_held_against_the_mean_embeddings() -> None:
    hard = np.linspace(0, 1, 200)  # users differ much, models by the same for each
    figures = {
        "mean embeddings": {"m": MeanFigure(hard, np.ones(200))},
        "better": {"m": MeanFigure(hard + 0.01, np.ones(200))},
    }
    groups = {"all": np.ones(200, bool), "half": np.arange(200) < 100, "nobody": np.zeros(200, bool)}
    cells = list(task_cells("t", figures, groups, 100, 0))
    rows = [row for cell in cells for row in cell.rows()]
    better = {row["group"]: row for row in rows if row["model"] == "better"}
    assert set(better) == {"all", "half"}
    assert better["all"]["difference"] == pytest.approx(0.01)
    assert better["all"]["difference_low"] == pytest.approx(0.01)
    assert better["all"]["relative"] == pytest.approx(0.51 / 0.5 - 1)
    assert better["all"]["low"] < 0.51 - 0.02 < 0.51 + 0.02 < better["all"]["high"]
    assert better["half"]["value"] == pytest.approx(hard[:100].mean() + 0.01)
    assert better["half"]["num_users"] == 100
    assert "difference" not in next(row for row in rows if row["model"] == "mean embeddings")
    turned = list(cells[0].rows("better"))
    mean = next(row for row in turned if row["model"] == "mean embeddings")
    assert mean["difference_high"] == pytest.approx(-0.01)
    assert "difference" not in next(row for row in turned if row["model"] == "better")


def test_two_rows_are_compared_by_hand() -> None:
    """Neither is the mean embeddings; a resample without a figure counts for nothing."""
    measured = {
        "mean embeddings": np.array([0.5, 0.9, 0.1, np.nan, 0.5]),
        "a": np.array([0.5, 0.4, 0.6, np.nan, 0.5]),
        "b": np.array([0.6, 0.7, 0.5, np.nan, 0.6]),
    }
    found = Cell("t", "cold", "m", 7, measured).comparisons()
    assert [(row["model"], row["peer"]) for row in found] == [
        ("a", "mean embeddings"),
        ("b", "mean embeddings"),
        ("b", "a"),
    ]
    row = found[2]
    assert (row["task"], row["group"], row["metric"], row["num_users"]) == ("t", "cold", "m", 7)
    # 0.1, of the resamples 0.3, -0.1 and 0.1: the ends lie a twentieth of a step from the outer two, the deviation
    # is 0.2 times the root of 2/3, and 0.1 is 0.6124 of it. Through the mean the ends would be near -0.6 and 0.6.
    assert row["value"] == pytest.approx(0.1)
    assert (row["low"], row["high"]) == pytest.approx((-0.09, 0.29))
    assert row["p_value"] == pytest.approx(0.5403, abs=1e-4)
    # Beside it stand 0 (p 1) and 0.1 with a deviation of 0.3 times that root (p 0.683): three times the smallest.
    assert [one["p_value"] for one in found[:2]] == pytest.approx([1, 0.6831], abs=1e-4)
    assert [one["p_holm"] for one in found] == [1, 1, 1]


def test_a_difference_that_is_there_survives_many_comparisons() -> None:
    rng = np.random.default_rng(0)
    draws = {name: rng.normal(0.5, 0.1, 400) for name in ("mean embeddings", "a", "b")}
    draws["c"] = draws["b"] + rng.normal(0.03, 0.005, 400)
    measured = {name: np.array([found.mean(), *found]) for name, found in draws.items()}
    found = {(row["model"], row["peer"]): row for row in Cell("t", "all", "m", 9, measured).comparisons()}
    assert len(found) == 6
    apart = found["c", "b"]
    assert 0 < apart["p_value"] < 1e-6
    assert apart["p_holm"] == pytest.approx(6 * apart["p_value"])
    assert found["b", "a"]["p_holm"] > 0.5


def test_without_a_figure_in_any_resample_nothing_is_compared() -> None:
    nothing = np.array([0.5, np.nan, np.nan])
    assert Cell("t", "all", "m", 1, {"a": nothing, "b": nothing}).comparisons() == []
    assert Cell("t", "all", "m", 1, {"a": np.ones(3)}).comparisons() == []


def test_resamples_draw_as_many_users_as_there_are() -> None:
    weights = resampled_users(30, 200, np.random.default_rng(0))
    assert weights.shape == (200, 30)
    assert (weights.sum(axis=1) == 30).all()
    assert weights.mean(axis=0) == pytest.approx(1, abs=0.35)
