"""CLUE's model of behaviours that are texts: Item Transformer, Service Transformer, a mean over each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn import functional

from graphkit.config.sequence_encoders import TextSequenceSection
from towers.encoders.sequences.sequences import Sequences
from towers.encoders.sequences.tokens import PAD, Tokens
from towers.encoders.sequences.transformer import StackShape, Transformer, in_groups, mean_over


class BackboneShape(BaseModel):
    """All that the weights' shapes follow from. ``timed``: the order of behaviours means something."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dim: int
    layers: int
    heads: int
    feedforward: int
    dropout: float
    vocabulary: int
    services: int
    max_tokens: int
    max_behaviours: int
    timed: bool

    @classmethod
    def of(cls, settings: TextSequenceSection, vocabulary: int, services: int, timed: bool) -> BackboneShape:
        return cls(
            dim=settings.dim,
            layers=settings.layers,
            heads=settings.heads,
            feedforward=settings.feedforward or 4 * settings.dim,
            dropout=settings.dropout,
            vocabulary=vocabulary,
            services=services,
            max_tokens=settings.max_tokens,
            max_behaviours=settings.max_behaviours,
            timed=timed,
        )

    @property
    def stack(self) -> StackShape:
        return StackShape(self.dim, self.layers, self.heads, self.feedforward, self.dropout)


@dataclass(frozen=True)
class Behaviours:
    """Rows of behaviours as tensors: each distinct item once, and which of them stands where."""

    tokens: Tensor  # int64 [num_distinct, max_tokens], the service's token first, then the text's, then padding
    index: Tensor  # int64 [num_behaviours], into tokens
    indptr: Tensor  # int64 [num_rows + 1]

    @property
    def lengths(self) -> Tensor:
        return self.indptr[1:] - self.indptr[:-1]


def to_behaviours(rows: Sequences, texts: Tokens, vocabulary: int, device: torch.device) -> Behaviours:
    """Tensors of ``rows`` with the item texts' tokens ``texts`` [num_items, max_tokens - 1].

    The service's token (``vocabulary`` + service) comes first (CLUE 2.1).
    """
    distinct, index = np.unique(rows.services * len(texts) + rows.items, return_inverse=True)
    service, item = np.divmod(distinct, len(texts))
    tokens = np.concatenate([vocabulary + service[:, None], texts[item]], axis=1).astype(np.int64)
    parts = (tokens, index.reshape(-1).astype(np.int64), rows.indptr)
    return Behaviours(*(torch.from_numpy(part).to(device) for part in parts))


class Backbone(nn.Module):
    """Item texts to item vectors, rows of those to one vector each."""

    def __init__(self, shape: BackboneShape) -> None:
        super().__init__()
        self.shape = shape
        self.tokens = nn.Embedding(shape.vocabulary + shape.services, shape.dim, padding_idx=PAD)
        self.item = Transformer(shape.stack, shape.max_tokens)
        self.service = Transformer(shape.stack, shape.max_behaviours, places=shape.timed, from_end=True)
        self.apply(_initialise)

    def items(self, tokens: Tensor) -> Tensor:
        """Equation 1: the vectors of items with these ``tokens`` [n, max_tokens], float [n, dim]."""
        lengths = (tokens != PAD).sum(1)

        def embed(rows: Tensor, longest: int) -> Tensor:
            return mean_over(self.item(self.tokens(tokens[rows, :longest]), lengths[rows]), lengths[rows])

        return in_groups(lengths, embed)

    def rows(self, vectors: Tensor, index: Tensor, indptr: Tensor) -> Tensor:
        """Equations 2 and 3: the vectors of rows whose behaviours are ``vectors[index]``, float [num_rows, dim]."""
        lengths = indptr[1:] - indptr[:-1]

        def embed(rows: Tensor, longest: int) -> Tensor:
            place = indptr[rows, None] + torch.arange(longest, device=index.device)
            at = index[place.clamp(max=len(index) - 1)]
            return mean_over(self.service(functional.embedding(at, vectors), lengths[rows]), lengths[rows])

        return in_groups(lengths, embed)

    def forward(self, behaviours: Behaviours) -> Tensor:
        """The vectors of the rows, each distinct item encoded once: float [num_rows, dim]."""
        return self.rows(self.items(behaviours.tokens), behaviours.index, behaviours.indptr)


def _initialise(module: nn.Module) -> None:
    """Small normal weights, as in BERT; norms and biases as they are."""
    if isinstance(module, nn.Linear | nn.Embedding):
        nn.init.normal_(module.weight, std=0.02)
    if isinstance(module, nn.Linear) and module.bias is not None:
        nn.init.zeros_(module.bias)
    if isinstance(module, nn.Embedding) and module.padding_idx is not None:
        with torch.no_grad():
            module.weight[module.padding_idx].zero_()
