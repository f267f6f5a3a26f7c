"""ShopperBERT's model: behaviour tokens, a Transformer, a prediction head for each sub-task."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn import functional

from towers.encoders.sequences.transformer import StackShape, Transformer, in_groups, mean_over

#: The value of a category or date part that is not known. It is shown, and never predicted.
UNKNOWN: Final = 0


class ShopperbertShape(BaseModel):
    """All that the weights' shapes follow from.

    ``categories`` and ``dates`` map a sub-task to how many values it has, ``UNKNOWN`` among them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dim: int
    layers: int
    heads: int
    feedforward: int
    dropout: float
    max_behaviours: int
    timed: bool  # the order of behaviours means something
    text_dim: int
    categories: dict[str, int]
    dates: dict[str, int]
    cls: bool

    @property
    def tasks(self) -> dict[str, int]:
        """The sub-tasks (nine where there are four categories and times), with their numbers of values."""
        return self.categories | self.dates


@dataclass(frozen=True)
class BehaviourTokens:
    """Sequences of behaviours, one after the other."""

    values: Tensor  # int64 [num_behaviours, tasks], category levels then date parts
    text: Tensor  # float32 [num_behaviours, text_dim]
    hidden: Tensor  # bool [num_behaviours]: [MASK] stands in its place
    indptr: Tensor  # int64 [num_sequences + 1]


class Shopperbert(nn.Module):
    """Behaviours to hidden vectors; sequences to user vectors."""

    def __init__(self, shape: ShopperbertShape) -> None:
        super().__init__()
        self.shape, dim = shape, shape.dim
        self.categories = nn.ModuleList(nn.Embedding(count, dim) for count in shape.categories.values())
        self.dates = nn.ModuleList(nn.Embedding(count, dim) for count in shape.dates.values())
        self.text = nn.Linear(shape.text_dim, dim)
        self.product = nn.Linear((len(shape.categories) + 1) * dim, dim)
        self.mask_product, self.mask_date = nn.Parameter(torch.randn(dim)), nn.Parameter(torch.randn(dim))
        self.cls = nn.Parameter(torch.randn(dim)) if shape.cls else None
        self.places = nn.Embedding(shape.max_behaviours + 1, dim) if shape.timed else None  # 0 is that of [CLS]
        stack = StackShape(dim, shape.layers, shape.heads, shape.feedforward, shape.dropout)
        self.transformer = Transformer(stack, shape.max_behaviours + 1, places=False)
        self.heads = nn.ModuleList(
            nn.Sequential(nn.Linear(dim, dim), nn.GELU(), nn.Linear(dim, count)) for count in shape.tasks.values()
        )

    def embed(self, tokens: BehaviourTokens, place: Tensor) -> Tensor:
        """Equation 1, averaged with the date parts and the ``place`` [n]: float [num_behaviours, dim]."""
        values, count = tokens.values, len(self.shape.categories)
        levels = [embedding(values[:, i]) for i, embedding in enumerate(self.categories)]
        product = self.product(torch.cat([*levels, self.text(tokens.text)], dim=1))
        dates = [embedding(values[:, count + i]) for i, embedding in enumerate(self.dates)]
        hidden = tokens.hidden[:, None]
        parts = [torch.where(hidden, self.mask_product.to(product.dtype), product)]
        parts += [] if self.places is None else [self.places(place)]
        parts += [torch.where(hidden, self.mask_date.to(date.dtype), date) for date in dates]
        return torch.stack(parts).mean(0)

    def forward(self, tokens: BehaviourTokens) -> tuple[Tensor, Tensor]:
        """The vectors of users, float [num_sequences, dim], and those that the content of each behaviour is predicted
        from, float [num_behaviours, dim]: its own hidden one, or with [CLS] that of its sequence."""
        indptr, device = tokens.indptr, tokens.values.device
        lengths, extra = indptr[1:] - indptr[:-1], 0 if self.cls is None else 1
        row = torch.repeat_interleave(torch.arange(len(lengths), device=device), lengths)
        from_end = indptr[1:][row] - torch.arange(len(row), device=device)  # 1 is the newest
        x = self.embed(tokens, from_end)  # [num_behaviours, dim]
        flat: list[Tensor] = []

        def users(rows: Tensor, longest: int) -> Tensor:
            place = torch.arange(longest, device=device)
            at = (indptr[rows, None] + place).clamp(max=len(x) - 1)
            padded = functional.embedding(at, x)  # [n, longest, dim]
            if self.cls is not None:
                first = self.cls if self.places is None else (self.cls + self.places.weight[0]) / 2
                padded = torch.cat([first.to(padded.dtype).expand(len(rows), 1, -1), padded], dim=1)
            hidden: Tensor = self.transformer(padded, lengths[rows] + extra)
            if self.cls is not None:
                return hidden[:, 0]
            there = place < lengths[rows, None]
            flat.append(hidden[there])
            order.append(at[there])
            return mean_over(hidden, lengths[rows])

        order: list[Tensor] = []
        vectors = in_groups(lengths, users)
        if self.cls is not None:
            return vectors, vectors[row]
        number = torch.empty(len(x), dtype=torch.int64, device=device)
        number[torch.cat(order)] = torch.arange(len(x), device=device)
        return vectors, torch.cat(flat)[number]


def prediction_losses(model: Shopperbert, hidden: Tensor, targets: Tensor) -> Tensor:
    """The cross-entropy of each sub-task, summed over the behaviours where it is known: float [tasks].

    ``hidden`` [n, dim] and ``targets`` int64 [n, tasks] are those of the predicted behaviours.
    """
    losses = [
        functional.cross_entropy(head(hidden).float(), targets[:, task], ignore_index=UNKNOWN, reduction="sum")
        for task, head in enumerate(model.heads)
    ]
    return torch.stack(losses)
