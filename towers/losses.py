"""In-batch losses of the two towers. Row ``k`` of a batch is one (user, item) example; its negatives are the
items of the other rows, less those the user is known to like (accidental hits).

Vectors are L2-normalised, so a score is a cosine.
"""

from __future__ import annotations

from typing import Any, Final

from towers.backend import ops

Tensor = Any
#: Added to the logit of what is no negative: its softmax share is exactly zero.
_MASKED: Final = -1e9


def linear_loss(scores: Tensor, excluded: Tensor, probability: Tensor) -> Tensor:
    """Equation 5 of the 2T-HGNN paper: the mean over examples of ``sum_n w_n (o_u.o_n - o_u.o_a)``.

    ``scores`` [B, B] holds user k's score of item n, the positive on the diagonal; ``excluded`` [B, B] is True
    where item n is no negative of user k; ``probability`` [B] is item n's share of the training examples.
    ``w_n`` is proportional to 1 / p(n) and sums to one over the negatives of an example, so that popular
    items, which are drawn more often, do not weigh more. A row without negatives counts for nothing. With
    normalised vectors, our addition, the loss lies within [-2, 2].
    """
    weight = ops.where(excluded, 0.0, 1.0 / probability[None, :])  # [B, B]
    total = ops.sum(weight, axis=1)  # [B]
    negative = ops.sum(weight * scores, axis=1) / ops.maximum(total, 1e-30)
    counted = ops.cast(total > 0, scores.dtype)
    loss = counted * (negative - ops.diagonal(scores))
    return ops.sum(loss) / ops.maximum(ops.sum(counted), 1.0)


def softmax_loss(scores: Tensor, excluded: Tensor, probability: Tensor, temperature: float) -> Tensor:
    """In-batch softmax cross-entropy of ``scores / temperature`` with the logQ correction.

    Shapes as in ``linear_loss``. Subtracting log p(n) from each logit undoes that in-batch negatives are
    drawn in proportion to their popularity; equal probabilities leave the loss uncorrected.
    """
    logits = scores / temperature - ops.log(probability)[None, :]
    own = ops.eye(ops.shape(scores)[0], dtype="bool")
    masked = ops.logical_and(excluded, ops.logical_not(own))
    logits = ops.where(masked, _MASKED, logits)
    return ops.mean(ops.logsumexp(logits, axis=1) - ops.diagonal(logits))
