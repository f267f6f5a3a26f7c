"""A pre-norm Transformer encoder over sequences of different lengths, and their means."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

#: Places that a group of sequences takes with its padding, at most: bounds the memory of a step.
_GROUP_PLACES: Final = 2**17
#: The longest sequence of a group, in lengths of its shortest. A GPU would rather pad than start more kernels.
_WIDE, _WIDE_ON_GPU = 1.34, 4.0


class StackShape(NamedTuple):
    """The size of one Transformer."""

    dim: int
    layers: int
    heads: int
    feedforward: int
    dropout: float


class Layer(nn.Module):
    """Attention, then a feed-forward network, each added to its input (Vaswani et al. 2017, normalised before)."""

    def __init__(self, shape: StackShape) -> None:
        super().__init__()
        self.heads = shape.heads
        self.attention_norm, self.feedforward_norm = nn.LayerNorm(shape.dim), nn.LayerNorm(shape.dim)
        self.query_key_value, self.out = nn.Linear(shape.dim, 3 * shape.dim), nn.Linear(shape.dim, shape.dim)
        self.up, self.down = nn.Linear(shape.dim, shape.feedforward), nn.Linear(shape.feedforward, shape.dim)
        self.dropout = nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, there: Tensor | None) -> Tensor:
        """``x`` [n, length, dim]; ``there`` [n, 1, 1, length] is False where a place is padding (None: nowhere)."""
        n, length, dim = x.shape
        split = self.query_key_value(self.attention_norm(x)).view(n, length, 3, self.heads, dim // self.heads)
        query, key, value = split.permute(2, 0, 3, 1, 4)  # each [n, heads, length, dim / heads]
        attended = functional.scaled_dot_product_attention(query, key, value, attn_mask=there)
        x = x + self.dropout(self.out(attended.transpose(1, 2).reshape(n, length, dim)))
        added: Tensor = self.dropout(self.down(functional.gelu(self.up(self.feedforward_norm(x)))))
        return x + added


class Transformer(nn.Module):
    """Layers with learned places. ``from_end`` counts places from the newest; without ``places`` order counts not."""

    def __init__(self, shape: StackShape, max_length: int, places: bool = True, from_end: bool = False) -> None:
        super().__init__()
        self.from_end = from_end
        self.places = nn.Embedding(max_length, shape.dim) if places else None
        self.layers = nn.ModuleList(Layer(shape) for _ in range(shape.layers))
        self.norm, self.dropout = nn.LayerNorm(shape.dim), nn.Dropout(shape.dropout)

    def forward(self, x: Tensor, lengths: Tensor) -> Tensor:
        """The last hidden vectors of ``x`` [n, length, dim], of which ``lengths`` [n] places are there."""
        number = torch.arange(x.shape[1], device=x.device)
        there = number < lengths[:, None]  # [n, length]
        if self.places is not None:
            place = (lengths[:, None] - 1 - number).clamp(min=0) if self.from_end else number
            x = x + self.places(place)
        x, mask = self.dropout(x), None if bool(there.all()) else there[:, None, None, :]
        for layer in self.layers:
            x = layer(x, mask)
        hidden: Tensor = self.norm(x)
        return hidden


def mean_over(hidden: Tensor, lengths: Tensor) -> Tensor:
    """The mean of the places that are there: ``hidden`` [n, length, dim] to [n, dim] (equations 1 and 3 of CLUE)."""
    there = torch.arange(hidden.shape[1], device=hidden.device) < lengths[:, None]
    return (hidden * there[:, :, None]).sum(1) / lengths[:, None]


def groups_by_length(lengths: Tensor) -> list[Tensor]:
    """The numbers of the sequences in groups of similar length, so that little is padding: each int64 [m]."""
    wide = _WIDE_ON_GPU if lengths.is_cuda else _WIDE
    order = torch.argsort(lengths, stable=True)
    ordered = lengths[order].tolist()
    groups, start = [], 0
    for end in range(1, len(ordered) + 1):
        if (
            end == len(ordered)
            or ordered[end] > max(ordered[start] * wide, ordered[start] + 1)
            or (end - start + 1) * ordered[end] > _GROUP_PLACES
        ):
            groups.append(order[start:end])
            start = end
    return groups


def in_groups(lengths: Tensor, embed: Callable[[Tensor, int], Tensor]) -> Tensor:
    """``embed(rows, max_length)`` of each group of sequences, put together in the sequences' order: [n, dim]."""
    groups = groups_by_length(lengths)
    parts = [embed(rows, int(lengths[rows].max())) for rows in groups]
    place = torch.empty(len(lengths), dtype=torch.int64, device=lengths.device)
    place[torch.cat(groups)] = torch.arange(len(lengths), device=lengths.device)
    return torch.cat(parts)[place]
