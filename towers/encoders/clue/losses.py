"""Contrastive losses over a batch of users, in shares: each process sums over its own users, all are negatives."""

from __future__ import annotations

from itertools import combinations

import torch
from torch import Tensor
from torch.nn import functional


def clip_loss(vectors: Tensor, there: Tensor, scale: Tensor, own: slice = slice(None)) -> Tensor:
    """The symmetric loss between services (equation 4 of CLUE), a mean over users and pairs of services: a scalar.

    ``vectors`` [num_users, services, dim] are f(z), ``there`` [num_users, services] says which of them are real. For
    each pair of services the users that have both are each other's negatives. Of the mean the terms of the users
    ``own`` are counted alone: over processes that part the users, the results add up to the loss.
    """
    unit = functional.normalize(vectors, dim=-1)
    mine = torch.zeros(len(there), dtype=torch.bool, device=there.device)
    mine[own] = True
    # Never cut off from the vectors: every process must take part in the backward pass of what was gathered.
    total, count = unit.sum() * 0, 0
    for a, b in combinations(range(there.shape[1]), 2):
        both = there[:, a] & there[:, b]
        rows = mine[both].nonzero().squeeze(1)
        count += int(both.sum())
        if len(rows):
            z_a, z_b = unit[both, a], unit[both, b]
            total = total + (_misses(z_a, z_b, scale, rows) + _misses(z_b, z_a, scale, rows)) / 2
    return total / max(count, 1)


def _misses(anchors: Tensor, others: Tensor, scale: Tensor, rows: Tensor) -> Tensor:
    """The cross-entropy of finding the partner of each anchor of ``rows`` among ``others``, summed."""
    return functional.cross_entropy((anchors[rows] @ others.T) * scale, rows, reduction="sum")


def ntxent_loss(views: Tensor, scale: Tensor, own: slice = slice(None)) -> Tensor:
    """NT-Xent (SimCLR, equation 1), a mean over views: a scalar.

    ``views`` [num_users, 2, dim]: a view's positive is the user's other view, its negatives both views of all other
    users. Of the mean the views of the users ``own`` are counted alone.
    """
    num_users = len(views)
    unit = functional.normalize(views, dim=-1).transpose(0, 1).flatten(0, 1)  # [2 num_users, dim], view by view
    users = torch.arange(num_users, device=views.device)[own]
    rows = torch.cat([users, users + num_users])
    logits = (unit[rows] @ unit.T) * scale
    itself = torch.zeros_like(logits, dtype=torch.bool).scatter_(1, rows[:, None], True)
    logits = logits.masked_fill(itself, float("-inf"))
    partner = torch.cat([users + num_users, users])
    return functional.cross_entropy(logits, partner, reduction="sum") / (2 * num_users)
