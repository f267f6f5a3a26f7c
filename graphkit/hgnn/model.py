"""Heterogeneous GraphSAGE (paper 4.1.2) and what may be added to it: tensors in, tensors out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Literal, cast

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from graphkit.graph.store import Relation
from graphkit.hgnn.aggregate import Attention, mean_weights
from graphkit.hgnn.blocks import Block
from graphkit.hgnn.graph_tensors import InEdges
from graphkit.hgnn.neighbours import Pooling
from graphkit.hgnn.node_ids import NodeIds
from graphkit.hgnn.parts import Names, linear

Aggregator = Literal["max", "mean", "attention"]


class ModelShape(BaseModel):
    """What a model is built from; travels with its weights. The defaults are the paper's model.

    ``dims`` are the widths of the text vectors, the hidden layers and the embedding. ``relations`` are directed:
    both directions of what joins two types. ``final_activation`` applies ReLU after the last layer too, as
    equation 3 has it, which keeps embeddings in the positive orthant. ``shared_weights``: a layer has one W_c for
    every type and one W_r for every relation, so that what the edges of some types teach holds for all of them
    (the homogeneous models of the paper's table 1, E and F); messages are still pooled relation by relation.

    Beyond the paper: ``aggregator`` mean or attention in place of the maximum, ``edge_weights`` that these two
    heed; ``projection``, a linear map of each type's text vectors to the first hidden width before any layer;
    ``residual``, a layer's input added to its output where the widths agree; ``relation_weights``, a learned
    factor per relation and layer; ``jumping``, the embedding is a linear map of all layers' vectors side by side;
    ``num_ids``, a learned vector for each of so many nodes of a type, added to its (projected) text vector.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    types: tuple[str, ...]
    relations: tuple[Relation, ...]
    dims: tuple[int, ...]
    final_activation: bool
    shared_weights: bool = False
    aggregator: Aggregator = "max"
    edge_weights: bool = False
    projection: bool = False
    residual: bool = False
    relation_weights: bool = False
    jumping: bool = False
    num_ids: dict[str, int] = {}

    @property
    def widths(self) -> tuple[int, ...]:
        """Of the layers' inputs and of the last one's output."""
        return (self.dims[1], *self.dims[1:]) if self.projection else self.dims


class HeteroSageLayer(nn.Module):
    """One layer k: equations 2 and 3 before the outer activation."""

    def __init__(self, shape: ModelShape, in_dim: int, out_dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.names = Names(shape.shared_weights)
        self.aggregator, self.edge_weights = shape.aggregator, shape.edge_weights
        types, relations = self.names.all((t,) for t in shape.types), self.names.all(shape.relations)
        self.own = nn.ModuleDict({n: linear(in_dim, out_dim, generator, bias=False) for n in types})
        self.neighbour = nn.ModuleDict({n: linear(in_dim, out_dim, generator) for n in relations})
        self.factor = nn.ParameterDict(
            {n: nn.Parameter(torch.zeros(())) for n in relations} if shape.relation_weights else {}
        )
        self.attention = nn.ModuleDict(
            {n: Attention(out_dim, generator) for n in relations} if shape.aggregator == "attention" else {}
        )
        self.residual = shape.residual and in_dim == out_dim

    def transform(self, node_type: str, h: Tensor) -> Tensor:
        """W_c h (and h itself, where there is a residual): [n, in_dim] to [n, out_dim]."""
        out: Tensor = self.own[self.names.one(node_type)](h)
        return out + h if self.residual else out

    def message(self, relation: Relation, h: Tensor) -> Tensor:
        """ReLU(W_r h + b): [n, in_dim] to [n, out_dim], not negative."""
        return F.relu(self.neighbour[self.names.one(*relation)](h))

    def pool(self, relation: Relation, messages: Tensor, own: Tensor, edges: InEdges, pooling: Pooling) -> Tensor:
        """One vector of each destination's in-edges: [num_dst, out_dim].

        ``messages`` [num_src, out_dim] and ``own`` [num_dst, out_dim], the destinations' own part, are those of
        ``message`` and ``transform``.
        """
        name = self.names.one(*relation)
        if self.aggregator == "max":
            pooled = pooling.maximum(messages, edges)
        else:
            weight = edges.weight if self.edge_weights else None
            if self.aggregator == "mean":
                shares = mean_weights(edges, weight)
            else:
                shares = cast(Attention, self.attention[name])(messages, own, edges, weight)
            pooled = pooling.weighted_sum(messages, edges, shares)
        return pooled * self.factor[name].exp() if name in self.factor else pooled

    def forward(self, h: Mapping[str, Tensor], block: Block, pooling: Pooling) -> dict[str, Tensor]:
        """W_c h_c + sum_r pooled ReLU(W_r h_c' + b) for the block's destinations: [num_dst, out_dim] per type."""
        own = {t: self.transform(t, h[t][:num_dst]) for t, num_dst in block.num_dst.items()}
        out = dict(own)
        for r, edges in block.relations.items():
            out[r.dst] = out[r.dst] + self.pool(r, self.message(r, h[r.src]), own[r.dst], edges, pooling)
        return out


class HeteroSage(nn.Module):
    """The l-layer model. ``forward`` gives unit-length embeddings z_c = h_c / ‖h_c‖.

    A node without text and without neighbours has the zero vector, whose embedding is zero.
    """

    def __init__(self, shape: ModelShape, generator: torch.Generator) -> None:
        super().__init__()
        self.shape = shape
        self.names = Names(shape.shared_weights)
        types, widths = self.names.all((t,) for t in shape.types), shape.widths
        self.layers = nn.ModuleList(HeteroSageLayer(shape, *pair, generator) for pair in pairwise(widths))
        self.projection = nn.ModuleDict(
            {n: linear(shape.dims[0], widths[0], generator, bias=False) for n in types} if shape.projection else {}
        )
        self.ids = NodeIds(shape.num_ids, widths[0], generator)
        self.joined = nn.ModuleDict(
            {n: linear(sum(widths), shape.dims[-1], generator, bias=False) for n in types} if shape.jumping else {}
        )

    def enter(self, node_type: str, features: Tensor, ids: Tensor) -> Tensor:
        """What the first layer starts from: float32 [n, widths[0]].

        ``features`` [n, dims[0]] are text vectors, ``ids`` int64 [n] node numbers, -1 for a node that is to count
        as unknown.
        """
        h = self.projection[self.names.one(node_type)](features) if self.projection else features
        started: Tensor = self.ids(node_type, h, ids)
        return started

    def activate(self, layer: int, h: Tensor) -> Tensor:
        """The outer activation (ReLU) of equation 3 after ``layer``."""
        last = layer + 1 == len(self.layers)
        return h if last and not self.shape.final_activation else F.relu(h)

    def leave(self, node_type: str, h: Sequence[Tensor]) -> Tensor:
        """Unit-length embeddings [n, dims[-1]] from the vectors [n, widths[k]] of every stage, the input's first."""
        if self.joined:
            return F.normalize(self.joined[self.names.one(node_type)](torch.cat(list(h), dim=1)))
        return F.normalize(h[-1])

    def forward(
        self,
        features: Mapping[str, Tensor],
        blocks: Sequence[Block],
        pooling: Pooling,
        ids: Mapping[str, Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """Embeddings [num_seeds, dims[-1]] per type.

        ``features`` are the text vectors of the first block's source nodes, ``ids`` their numbers as in ``enter``
        (where none are given: the nodes themselves).
        """
        ids = blocks[0].src_nodes if ids is None else ids
        stages = [{t: self.enter(t, features[t], ids[t]) for t in features}]
        for k, (layer, block) in enumerate(zip(self.layers, blocks, strict=True)):
            stages.append({t: self.activate(k, out) for t, out in layer(stages[-1], block, pooling).items()})
        seeds = blocks[-1].num_dst
        return {t: self.leave(t, [stage[t][:n] for stage in stages]) for t, n in seeds.items()}
