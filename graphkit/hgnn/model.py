"""Heterogeneous GraphSAGE (paper 4.1.2): tensors in, tensors out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final
from urllib.parse import quote

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from graphkit.graph.store import Relation
from graphkit.hgnn.blocks import Block
from graphkit.hgnn.neighbours import MaxPool

#: The one module of each sort in a layer with shared weights; no type's own name, which starts with ``@``.
_SHARED: Final = "shared"


class ModelShape(BaseModel):
    """What a model is built from; travels with its weights.

    ``dims`` are the widths of the text vectors, the hidden layers and the embedding. ``relations`` are directed:
    both directions of what joins two types. ``final_activation`` applies ReLU after the last layer too, as
    equation 3 has it, which keeps embeddings in the positive orthant. ``shared_weights``: a layer has one W_c for
    every type and one W_r for every relation, so that what the edges of some types teach holds for all of them
    (the homogeneous models of the paper's table 1, E and F); messages are still pooled relation by relation.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    types: tuple[str, ...]
    relations: tuple[Relation, ...]
    dims: tuple[int, ...]
    final_activation: bool
    shared_weights: bool = False


class HeteroSageLayer(nn.Module):
    """One layer k: equations 2 and 3 before the outer activation."""

    def __init__(self, shape: ModelShape, in_dim: int, out_dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.shared_weights = shape.shared_weights
        types, relations = self._names((t,) for t in shape.types), self._names(shape.relations)
        self.own = nn.ModuleDict({name: nn.Linear(in_dim, out_dim, bias=False) for name in types})
        self.neighbour = nn.ModuleDict({name: nn.Linear(in_dim, out_dim) for name in relations})
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            else:
                nn.init.xavier_uniform_(parameter, nn.init.calculate_gain("relu"), generator)

    def transform(self, node_type: str, h: Tensor) -> Tensor:
        """W_c h: [n, in_dim] to [n, out_dim]."""
        out: Tensor = self.own[self._name(node_type)](h)
        return out

    def message(self, relation: Relation, h: Tensor) -> Tensor:
        """ReLU(W_r h + b): [n, in_dim] to [n, out_dim], not negative."""
        return F.relu(self.neighbour[self._name(*relation)](h))

    def forward(self, h: Mapping[str, Tensor], block: Block, max_pool: MaxPool) -> dict[str, Tensor]:
        """W_c h_c + sum_r max ReLU(W_r h_c' + b) for the block's destinations: [num_dst, out_dim] per type."""
        out = {t: self.transform(t, h[t][:num_dst]) for t, num_dst in block.num_dst.items()}
        for relation, edges in block.relations.items():
            pooled = max_pool(self.message(relation, h[relation.src]), edges)
            out[relation.dst] = out[relation.dst] + pooled
        return out

    def _name(self, *parts: str) -> str:
        """The name of the module that serves a type or a relation."""
        return _SHARED if self.shared_weights else _key(*parts)

    def _names(self, named: Iterable[tuple[str, ...]]) -> list[str]:
        """The distinct module names, in order."""
        return list(dict.fromkeys(self._name(*parts) for parts in named))


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
