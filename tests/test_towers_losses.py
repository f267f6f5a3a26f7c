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
DIAGONAL = np.arange(3, dtype=np.int32)
EVEN = np.ones(3, dtype=np.float32)


def linear(excluded: np.ndarray, probability: np.ndarray) -> list[float]:
    return np.asarray(linear_loss(SCORES, DIAGONAL, excluded, probability, EVEN)).tolist()


def softmax(excluded: np.ndarray, probability: np.ndarray, temperature: float = 0.5) -> list[float]:
    return np.asarray(softmax_loss(SCORES, DIAGONAL, excluded, probability, EVEN, temperature)).tolist()


def test_linear_loss_is_equation_5() -> None:
    # The mean score of the two negatives less the positive's.
    assert linear(OWN, EVEN) == pytest.approx([-1.1, -0.15, -0.9])


def test_linear_loss_weighs_negatives_by_inverse_probability() -> None:
    probability = np.array([0.5, 0.25, 0.25], dtype=np.float32)
    # Weights 2, 4, 4. Row 0: even. Row 1: (2 * 0.3 + 4 * 0.2) / 6 - 0.4. Row 2: (2 * 0 - 4 * 0.2) / 6 - 0.8.
    assert linear(OWN, probability) == pytest.approx([(0.1 - 0.5) / 2 - 0.9, 1.4 / 6 - 0.4, -0.8 / 6 - 0.8])


def test_linear_loss_leaves_excluded_items_out() -> None:
    excluded = OWN.copy()
    excluded[0, 2] = True
    assert linear(excluded, EVEN) == pytest.approx([0.1 - 0.9, -0.15, -0.9])


def test_an_example_without_negatives_has_no_loss() -> None:
    excluded = OWN.copy()
    excluded[0] = True
    assert linear(excluded, EVEN) == pytest.approx([0, -0.15, -0.9])
    assert softmax(excluded, EVEN)[0] == 0
    assert linear(~NONE, EVEN) == softmax(~NONE, EVEN) == [0, 0, 0]


@given(
    arrays.arrays(np.float32, (4, 6), elements=st.floats(-1, 1, width=32)),
    arrays.arrays(np.float32, 6, elements=st.floats(2**-20, 1, width=32)),
    arrays.arrays(np.bool_, (4, 6)),
)
@settings(max_examples=40, deadline=None)
def test_linear_loss_of_cosines_is_bounded(scores: np.ndarray, probability: np.ndarray, excluded: np.ndarray) -> None:
    loss = np.asarray(
        linear_loss(scores, np.arange(4), excluded | np.eye(4, 6, dtype=bool), probability, np.ones(6, np.float32))
    )
    assert (np.abs(loss) <= 2.0001).all()


def test_linear_loss_of_plain_dot_products_has_no_bound() -> None:
    """It is linear: what normalisation is there for."""
    longer = np.asarray(linear_loss(100 * SCORES, DIAGONAL, OWN, EVEN, EVEN))
    assert longer.tolist() == pytest.approx([-110, -15, -90])


def test_softmax_loss_by_hand() -> None:
    rows = [math.log(sum(math.exp(s / 0.5) for s in row)) - row[i] / 0.5 for i, row in enumerate(SCORES.tolist())]
    assert softmax(OWN, EVEN) == pytest.approx(rows, rel=1e-5)


def test_softmax_loss_subtracts_log_probability() -> None:
    probability = [0.5, 0.3, 0.2]
    rows = []
    for i, row in enumerate(SCORES.tolist()):
        logits = [s / 0.5 - math.log(p) for s, p in zip(row, probability, strict=True)]
        rows.append(math.log(sum(map(math.exp, logits))) - logits[i])
    assert softmax(OWN, np.array(probability, dtype=np.float32)) == pytest.approx(rows, rel=1e-5)


def test_the_own_item_may_be_in_any_column() -> None:
    own, excluded = np.array([2, 0], dtype=np.int32), np.array([[0, 0, 1], [1, 0, 0]], dtype=bool)
    rows = [math.log(sum(math.exp(s) for s in SCORES[k].tolist())) - float(SCORES[k, own[k]]) for k in (0, 1)]
    assert np.asarray(softmax_loss(SCORES[:2], own, excluded, EVEN, EVEN, 1.0)).tolist() == pytest.approx(
        rows, rel=1e-5
    )
    assert np.asarray(linear_loss(SCORES[:2], own, excluded, EVEN, EVEN)).tolist() == pytest.approx(
        [0.5 + 0.5, 0.3 - 0.3]
    )


def test_softmax_loss_masks_accidental_hits() -> None:
    excluded = OWN.copy()
    excluded[0, 1] = True
    masked = softmax(excluded, EVEN)
    assert masked[0] == pytest.approx(math.log(math.exp(0.9 / 0.5) + math.exp(-0.5 / 0.5)) - 0.9 / 0.5, rel=1e-5)
    assert masked[1:] == softmax(OWN, EVEN)[1:]
    assert masked[0] < softmax(OWN, EVEN)[0]


def test_a_masked_item_gets_no_gradient() -> None:
    import tensorflow as tf

    excluded = OWN.copy()
    excluded[0, 1] = True
    for loss in (linear_loss, lambda *given: softmax_loss(*given, 0.5)):
        scores = tf.constant(SCORES)
        with tf.GradientTape() as tape:
            tape.watch(scores)
            value = tf.reduce_sum(loss(scores, DIAGONAL, excluded, EVEN, EVEN))
        gradient = tape.gradient(value, scores).numpy()
        assert gradient[0, 1] == 0
        assert (gradient[~excluded] > 0).all()
        assert (np.diagonal(gradient) < 0).all()
