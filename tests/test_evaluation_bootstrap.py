"""Bootstrap intervals: they hold the truth as often as they say, and differences are paired."""

from __future__ import annotations

import numpy as np
import pytest

from graphkit.evaluation import bootstrap
from graphkit.evaluation.bootstrap import interval, resampled_means


def test_the_interval_holds_the_true_mean_about_95_times_in_100() -> None:
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(300):
        values = rng.exponential(1.0, (120, 1))
        low, high = interval(resampled_means(values, np.ones(120), 400, rng))
        held += int(low[0] <= 1.0 <= high[0])
    assert 0.90 < held / 300 < 0.98


def test_its_spread_is_the_standard_error() -> None:
    rng = np.random.default_rng(1)
    values = rng.normal(3, 2, (500, 1))
    means = resampled_means(values, np.ones(500), 4000, rng)
    assert means.mean() == pytest.approx(values.mean(), abs=0.01)
    assert means.std() == pytest.approx(values.std() / np.sqrt(500), rel=0.05)


def test_columns_share_their_resamples() -> None:
    rng = np.random.default_rng(2)
    first = rng.normal(0, 1, 200)
    values = np.stack([first, first + 0.5], axis=1)  # always half a point apart
    means = resampled_means(values, np.ones(200), 100, rng)
    np.testing.assert_allclose(means[:, 1] - means[:, 0], 0.5)


def test_a_user_is_drawn_with_all_of_its_lists() -> None:
    # One user has 3 lists that sum to 3, the other one list of 0: means can be 1 (first twice), 3/4 or 0.
    means = resampled_means(np.array([[3.0], [0.0]]), np.array([3.0, 1.0]), 200, np.random.default_rng(3))
    assert set(np.round(means[:, 0], 6)) == {0.0, 0.75, 1.0}


def test_one_user_has_an_interval_of_no_width() -> None:
    low, high = interval(resampled_means(np.array([[0.4]]), np.ones(1), 50, np.random.default_rng(0)))
    assert (low[0], high[0]) == (0.4, 0.4)


def test_the_same_seed_gives_the_same_means_in_any_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(4).normal(0, 1, (30, 2))
    whole = resampled_means(values, np.ones(30), 100, np.random.default_rng(5))
    monkeypatch.setattr(bootstrap, "BLOCK_WEIGHTS", 70)
    np.testing.assert_allclose(resampled_means(values, np.ones(30), 100, np.random.default_rng(5)), whole)
