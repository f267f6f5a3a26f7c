"""The two losses of the two towers, per example. Row ``k`` of a batch is one (user, item) example; its negatives are
the batch's other columns (``towers.negatives``), less those the user is known to like (accidental hits).

Vectors are L2-normalised, so a score is a cosine. The loss of a batch is the sum of its examples' by their weight.
"""

from __future__ import annotations

from typing import Any, Final

from towers.backend import ops

Tensor = Any
#: Logit of what is no negative: its softmax share is exactly zero.
_MASKED: Final = -1e9


def linear_loss(scores: Tensor, own: Tensor, excluded: Tensor, probability: Tensor, times: Tensor) -> Tensor:
    """Equation 5 of the 2T-HGNN paper, per example: ``sum_n w_n (o_u.o_n - o_u.o_a)``, [B].

    ``scores`` [B, C] holds user k's score of column n, ``own`` [B] the column of its own item; ``excluded`` [B, C] is
    True where column n is no negative of user k, its own among them; ``probability`` [C] is in proportion to how
    often a batch is to hold this item, and ``times`` [C] for how many columns of it this one stands. ``w_n`` is
    proportional to 1 / p(n) for each of these and sums to one over the negatives of an example, so that popular
    items, which are drawn more often, do not weigh more. An example without negatives has a loss of 0. The loss is
    linear in the scores, so nothing but normalised vectors, our addition, bounds it: it lies within [-2, 2].
    """
    weight = ops.where(excluded, 0.0, (times / probability)[None, :])  # [B, C]
    total = ops.sum(weight, axis=1)  # [B]
    negative = ops.sum(weight * scores, axis=1) / ops.maximum(total, 1e-30)
    return ops.where(total > 0, negative - _at(scores, own), 0.0)


def softmax_loss(
    scores: Tensor, own: Tensor, excluded: Tensor, probability: Tensor, times: Tensor, temperature: float
) -> Tensor:
    """Softmax cross-entropy of ``scores / temperature`` with the logQ correction, per example: [B].

    Arguments as in ``linear_loss``. Subtracting log p(n) from each logit undoes that columns hold items in proportion
    to their popularity; equal probabilities leave the loss uncorrected.
    """
    logits = scores / temperature - ops.log(probability)[None, :]  # [B, C]
    negatives = ops.logsumexp(ops.where(excluded, _MASKED, logits + ops.log(times)[None, :]), axis=1)
    return ops.softplus(negatives - _at(logits, own))


def _at(matrix: Tensor, column: Tensor) -> Tensor:
    """Row k's value in column ``column[k]``: [B]."""
    return ops.take_along_axis(matrix, column[:, None], axis=1)[:, 0]
