"""p-values of paired differences and Holm's correction."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphkit.evaluation.comparisons import holm, p_values


def test_holm_by_hand() -> None:
    p = np.array([[0.01], [0.04], [0.03], [0.005]])
    # 0.005 * 4, 0.01 * 3, 0.03 * 2, then 0.04 * 1, which may not fall below the one before.
    np.testing.assert_allclose(holm(p)[:, 0], [0.03, 0.06, 0.06, 0.02])


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_keeps_the_order_and_never_lowers(values: list[float]) -> None:
    p = np.array(values)[:, None]
    found = holm(p)
    assert (found >= p - 1e-12).all()
    assert (found <= 1).all()
    order = np.argsort(p[:, 0], kind="stable")
    assert (np.diff(found[order, 0]) >= -1e-12).all()


def test_a_difference_of_two_standard_errors_has_a_p_of_one_in_twenty() -> None:
    rng = np.random.default_rng(0)
    draws = rng.normal(1.96, 1, (200_000, 1))
    assert p_values(np.array([1.96]), draws)[0] == pytest.approx(0.05, rel=0.03)


def test_no_spread_is_certain() -> None:
    draws = np.array([[0.0, 1.0], [0.0, 1.0]])
    assert p_values(np.array([0.0, 1.0]), draws).tolist() == [1, 0]
