"""Heterogeneous GraphSAGE (paper 4.1.2): tensors in, tensors out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from graphkit.graph.store import Relation
from graphkit.hgnn.blocks import Block
from graphkit.hgnn.neighbours import MaxPool


class ModelShape(BaseModel):
    """What a model is built from; travels with its weights.

    ``dims`` are the widths of the text vectors, the hidden layers and the embedding. ``relations`` are directed:
    both directions of what joins two types. ``final_activation`` applies ReLU after the last layer too, as
    equation 3 has it, which keeps embeddings in the positive orthant.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    types: tuple[str, ...]
    relations: tuple[Relation, ...]
    dims: tuple[int, ...]
    final_activation: bool


class HeteroSageLayer(nn.Module):
    """One layer k: equations 2 and 3 before the outer activation."""

    def __init__(self, shape: ModelShape, in_dim: int, out_dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.own = nn.ModuleDict({_key(t): nn.Linear(in_dim, out_dim, bias=False) for t in shape.types})
        self.neighbour = nn.ModuleDict({_key(*r): nn.Linear(in_dim, out_dim) for r in shape.relations})
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.xavier_uniform_(parameter, nn.init.calculate_gain("relu"), generator)

    def transform(self, node_type: str, h: Tensor) -> Tensor:
        """W_c h: [n, in_dim] to [n, out_dim]."""
        out: Tensor = self.own[_key(node_type)](h)
        return out

    def message(self, relation: Relation, h: Tensor) -> Tensor:
        """ReLU(W_r h + b): [n, in_dim] to [n, out_dim], not negative."""
        return F.relu(self.neighbour[_key(*relation)](h))

    def forward(self, h: Mapping[str, Tensor], block: Block, max_pool: MaxPool) -> dict[str, Tensor]:
        """W_c h_c + sum_r max ReLU(W_r h_c' + b) for the block's destinations: [num_dst, out_dim] per type."""
        out = {t: self.transform(t, h[t][:num_dst]) for t, num_dst in block.num_dst.items()}
        for relation, edges in block.relations.items():
            pooled = max_pool(self.message(relation, h[relation.src]), edges)
            out[relation.dst] = out[relation.dst] + pooled
        return out


class HeteroSage(nn.Module):
    """The l-layer model. ``forward`` gives unit-length embeddings z_c = h_c / ‖h_c‖.

    A node without text and without neighbours has the zero vector, whose embedding is zero.
    """

    def __init__(self, shape: ModelShape, generator: torch.Generator) -> None:
        super().__init__()
        self.shape = shape
        widths = zip(shape.dims[:-1], shape.dims[1:], strict=True)
        self.layers = nn.ModuleList(HeteroSageLayer(shape, *pair, generator) for pair in widths)

    def activate(self, layer: int, h: Tensor) -> Tensor:
        """The outer activation (ReLU) of equation 3 after ``layer``; unit length after the last."""
        if layer + 1 < len(self.layers):
            return F.relu(h)
        return F.normalize(F.relu(h) if self.shape.final_activation else h)

    def forward(
        self, features: Mapping[str, Tensor], blocks: Sequence[Block], max_pool: MaxPool
    ) -> dict[str, Tensor]:
        """Embeddings [num_seeds, out_dim] per type, from text vectors of the first block's source nodes."""
        h = dict(features)
        for k, (layer, block) in enumerate(zip(self.layers, blocks, strict=True)):
            h = {t: self.activate(k, out) for t, out in layer(h, block, max_pool).items()}
        return h


def _key(*parts: str) -> str:
    """A module name for a type or relation: module names allow no dot, and no name a dict's method has."""
    return "@" + ">".join(quote(part, safe="").replace(".", "%2E") for part in parts)
