"""The contrastive user encoder: the backbone, an optional output layer, and what the loss alone needs."""

from __future__ import annotations

import math
from typing import Final

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.nn import functional

from towers.encoders.sequences.backbone import Backbone, BackboneShape, Behaviours

#: Cosines are never multiplied by more (CLUE 2.2).
MAX_SCALE: Final = 100.0


class ContrastiveShape(BaseModel):
    """All that the weights' shapes follow from; ``out_dim`` None: no output layer."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    backbone: BackboneShape
    out_dim: int | None = None
    initial_scale: float

    @property
    def dim(self) -> int:
        """The width of a row's vector."""
        return self.out_dim or self.backbone.dim


class Contrastive(nn.Module):
    """Rows of behaviours to vectors z, and to f(z) = W2 gelu(W1 z), which are compared (CLUE 2.1)."""

    def __init__(self, shape: ContrastiveShape) -> None:
        super().__init__()
        self.shape, dim = shape, shape.dim
        self.backbone = Backbone(shape.backbone)
        self.out = nn.Linear(shape.backbone.dim, dim) if shape.out_dim else None
        self.hidden, self.projection = nn.Linear(dim, dim, bias=False), nn.Linear(dim, dim, bias=False)
        self.log_scale = nn.Parameter(torch.tensor(math.log(shape.initial_scale)))
        self.mask = nn.Parameter(torch.randn(shape.backbone.dim) * 0.02)  # stands for an item that is hidden

    @property
    def scale(self) -> Tensor:
        """The learned factor of the cosines, never above ``MAX_SCALE``."""
        return self.log_scale.exp().clamp(max=MAX_SCALE)

    def item_vectors(self, tokens: Tensor) -> Tensor:
        """The vectors of distinct items and, as the last row, of a hidden one: float [n + 1, dim]."""
        items = self.backbone.items(tokens)
        return torch.cat([items, self.mask[None].to(items.dtype)])

    def row_vectors(self, items: Tensor, index: Tensor, indptr: Tensor) -> Tensor:
        """z of rows whose behaviours are ``items[index]``: float [num_rows, dim]."""
        z = self.backbone.rows(items, index, indptr)
        return z if self.out is None else self.out(z)

    def forward(self, behaviours: Behaviours) -> Tensor:
        """f(z) of the rows: float [num_rows, dim]."""
        items = self.item_vectors(behaviours.tokens)
        return self.project(self.row_vectors(items, behaviours.index, behaviours.indptr))

    def project(self, z: Tensor) -> Tensor:
        """f(z), without which z itself would have to forget what tells views apart."""
        projected: Tensor = self.projection(functional.gelu(self.hidden(z)))
        return projected.float()


def new_model(shape: ContrastiveShape, seed: int) -> Contrastive:
    """Fresh weights, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Contrastive(shape)
