"""Contrastive losses over one positive and many negatives per anchor."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor


def margin_loss(positive: Tensor, negative: Tensor, rejected: Tensor, margin: float) -> Tensor:
    """Equation 4 per anchor: the mean over its negatives of max(0, z_a·z_n - z_a·z_p + margin).

    ``positive`` [n] and ``negative`` [n, k] are inner products; ``rejected`` (bool [n, k]) marks what is no
    negative. Returns [n]; an anchor without a negative has loss 0.
    """
    counted = (~rejected).to(negative.dtype)
    hinge = F.relu(negative - positive[:, None] + margin) * counted
    return hinge.sum(dim=1) / counted.sum(dim=1).clamp_min(1)


def softmax_loss(
    positive: Tensor, negative: Tensor, rejected: Tensor, temperature: float, correction: Tensor
) -> Tensor:
    """-log of the positive's share in exp(inner product / temperature) over it and its negatives.

    Arguments and result as in ``margin_loss``; ``correction`` [k] is the log of how much likelier than the average
    node each negative was drawn (logQ correction, Yi et al. 2019; 0 for uniform draws).
    """
    against = (negative / temperature - correction).masked_fill(rejected, -torch.inf)
    scores = torch.cat([positive[:, None] / temperature, against], dim=1)
    return torch.logsumexp(scores, dim=1) - scores[:, 0]
