"""The simple model of every pair task: an MLP for the user's vector, one for the item's, and their dot product."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn


class Standardised(nn.Module):
    """Columns with mean 0 and deviation 1 over ``rows`` [n, dim]; a column that never varies becomes 0."""

    mean: Tensor
    scale: Tensor

    def __init__(self, rows: Tensor) -> None:
        super().__init__()
        deviation = rows.std(dim=0, correction=0)
        self.register_buffer("mean", rows.mean(dim=0))
        self.register_buffer("scale", torch.where(deviation > 1e-8, 1 / deviation.clamp(min=1e-8), 0))

    def forward(self, x: Tensor) -> Tensor:
        return (x - self.mean) * self.scale


def mlp(rows: Tensor, widths: Sequence[int]) -> nn.Sequential:
    """An MLP with ReLU between its layers, for inputs as ``rows`` [n, dim] are: [.., dim] -> [.., widths[-1]]."""
    layers: list[nn.Module] = [Standardised(rows)]
    for inputs, outputs in pairwise([rows.shape[1], *widths]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def num_parameters(inputs: int, widths: Sequence[int]) -> int:
    """Of an MLP with ``inputs`` columns: weights and biases."""
    return sum((before + 1) * after for before, after in pairwise([inputs, *widths]))


class PairModel(nn.Module):
    """Logits of (user, item): the dot product of two MLPs (CLUE, 4.1), "input-512-256-128-64"."""

    def __init__(self, users: Tensor, items: Tensor, widths: Sequence[int]) -> None:
        super().__init__()
        self.users = mlp(users, widths)
        self.items = mlp(items, widths)

    def forward(self, users: Tensor, items: Tensor) -> Tensor:
        """``users`` [n, user dim] and ``items`` [n, item dim] -> [n]."""
        logits: Tensor = (self.users(users) * self.items(items)).sum(dim=-1)
        return logits
