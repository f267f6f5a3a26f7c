"""The two losses against values worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from towers.losses import linear_loss, softmax_loss

SCORES = np.array([[0.9, 0.1, -0.5], [0.3, 0.4, 0.2], [0.0, -0.2, 0.8]], dtype=np.float32)
NONE = np.zeros((3, 3), dtype=bool)
OWN = np.eye(3, dtype=bool)
EVEN = np.ones(3, dtype=np.float32)


def test_linear_loss_is_equation_5() -> None:
    # Means over the two negatives of score minus positive: -1.1, -0.15, -0.9.
    assert float(linear_loss(SCORES, OWN, EVEN)) == pytest.approx((-1.1 - 0.15 - 0.9) / 3)


def test_linear_loss_weighs_negatives_by_inverse_probability() -> None:
    probability = np.array([0.5, 0.25, 0.25], dtype=np.float32)
    # Weights 2, 4, 4. Row 0: even. Row 1: (2 * 0.3 + 4 * 0.2) / 6 - 0.4. Row 2: (2 * 0 - 4 * 0.2) / 6 - 0.8.
    rows = [(0.1 - 0.5) / 2 - 0.9, 1.4 / 6 - 0.4, -0.8 / 6 - 0.8]
    assert float(linear_loss(SCORES, OWN, probability)) == pytest.approx(sum(rows) / 3)


def test_linear_loss_leaves_excluded_items_out() -> None:
    excluded = OWN.copy()
    excluded[0, 2] = True
    assert float(linear_loss(SCORES, excluded, EVEN)) == pytest.approx((0.1 - 0.9 - 0.15 - 0.9) / 3)


def test_linear_loss_counts_only_rows_with_negatives() -> None:
    excluded = OWN.copy()
    excluded[0] = True
    assert float(linear_loss(SCORES, excluded, EVEN)) == pytest.approx((-0.15 - 0.9) / 2)
    assert float(linear_loss(SCORES, ~NONE, EVEN)) == 0.0


@given(
    arrays.arrays(np.float32, (4, 4), elements=st.floats(-1, 1, width=32)),
    arrays.arrays(np.float32, 4, elements=st.floats(2**-20, 1, width=32)),
    arrays.arrays(np.bool_, (4, 4)),
)
@settings(max_examples=40, deadline=None)
def test_linear_loss_of_cosines_is_bounded(scores: np.ndarray, probability: np.ndarray, excluded: np.ndarray) -> None:
    loss = float(linear_loss(scores, excluded | np.eye(4, dtype=bool), probability))
    assert -2.0001 <= loss <= 2.0001


def test_softmax_loss_by_hand() -> None:
    rows = [math.log(sum(math.exp(s / 0.5) for s in row)) - row[i] / 0.5 for i, row in enumerate(SCORES.tolist())]
    assert float(softmax_loss(SCORES, OWN, EVEN, 0.5)) == pytest.approx(sum(rows) / 3, rel=1e-5)


def test_softmax_loss_subtracts_log_probability() -> None:
    probability = [0.5, 0.3, 0.2]
    rows = []
    for i, row in enumerate(SCORES.tolist()):
        logits = [s / 0.5 - math.log(p) for s, p in zip(row, probability, strict=True)]
        rows.append(math.log(sum(map(math.exp, logits))) - logits[i])
    found = float(softmax_loss(SCORES, OWN, np.array(probability, dtype=np.float32), 0.5))
    assert found == pytest.approx(sum(rows) / 3, rel=1e-5)


def test_softmax_loss_masks_accidental_hits() -> None:
    excluded = OWN.copy()
    excluded[0, 1] = True
    row = [math.exp(0.9 / 0.5), math.exp(-0.5 / 0.5)]
    others = [
        math.log(sum(math.exp(s / 0.5) for s in SCORES[i].tolist())) - float(SCORES[i, i]) / 0.5 for i in (1, 2)
    ]
    masked = float(softmax_loss(SCORES, excluded, EVEN, 0.5))
    assert masked == pytest.approx((math.log(sum(row)) - 1.8 + sum(others)) / 3, rel=1e-5)
    assert masked < float(softmax_loss(SCORES, OWN, EVEN, 0.5))


def test_a_masked_item_gets_no_gradient() -> None:
    import tensorflow as tf

    excluded = OWN.copy()
    excluded[0, 1] = True
    for loss in (linear_loss, lambda *given: softmax_loss(*given, 0.5)):
        scores = tf.constant(SCORES)
        with tf.GradientTape() as tape:
            tape.watch(scores)
            value = loss(scores, excluded, EVEN)
        gradient = tape.gradient(value, scores).numpy()
        assert gradient[0, 1] == 0
        assert (gradient[~excluded] > 0).all()
        assert (np.diagonal(gradient) < 0).all()
