"""The simple model of every pair task: an MLP for the user's vector, one for the item's, and their dot product."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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


class VectorSide(nn.Module):
    """Users or items by frozen vectors: an MLP of the row of a moment's table.

    ``tables`` are float32 [count, dim] by moment; the inputs are standardised over ``seen`` [n] rows of the moment
    ``fitted``.
    """

    def __init__(self, tables: Mapping[str, Tensor], fitted: str, seen: Tensor, widths: Sequence[int]) -> None:
        super().__init__()
        self.tables = dict(tables)
        self.mlp = mlp(tables[fitted][seen], widths)

    def forward(self, moment: str, rows: Tensor) -> Tensor:
        """[n] -> [n, widths[-1]]."""
        found: Tensor = self.mlp(self.tables[moment][rows])
        return found


class PairModel(nn.Module):
    """Logits of (user, item): the dot product of two sides (CLUE, 4.1)."""

    def __init__(self, users: nn.Module, items: nn.Module) -> None:
        super().__init__()
        self.users, self.items = users, items

    def forward(self, moment: str, users: Tensor, items: Tensor) -> Tensor:
        """``users`` [n] and ``items`` [n] -> [n]. Each user and item goes through its side once."""
        user_rows, of_user = torch.unique(users, return_inverse=True)
        item_rows, of_item = torch.unique(items, return_inverse=True)
        user_side, item_side = self.users(moment, user_rows), self.items(moment, item_rows)
        logits: Tensor = (user_side[of_user] * item_side[of_item]).sum(dim=-1)
        return logits
