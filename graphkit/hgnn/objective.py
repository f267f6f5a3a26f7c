"""The training objective of one batch: embed the links' ends and their negatives, then the loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from graphkit.config.sections import HgnnSection
from graphkit.hgnn.blocks import places, sample_blocks
from graphkit.hgnn.graph_tensors import GraphTensors
from graphkit.hgnn.links import LinkSets, exclusion
from graphkit.hgnn.losses import margin_loss, softmax_loss
from graphkit.hgnn.model import HeteroSage
from graphkit.hgnn.negatives import Pools, Rejection, draw_pools, type_groups
from graphkit.hgnn.neighbours import MaxPool


class Pairs(NamedTuple):
    """Anchors and their positives: each link once from either end."""

    anchor_type: str
    anchors: Tensor  # int64 [n]
    positive_type: str
    positives: Tensor  # int64 [n]


@dataclass(frozen=True)
class Objective:
    """What is minimised over ``graph``, from which held-out links are gone already."""

    graph: GraphTensors
    max_pool: MaxPool
    config: HgnnSection

    def loss(self, model: HeteroSage, batch: LinkSets, generator: torch.Generator) -> Tensor:
        """Mean loss of a batch's links, of which message passing sees no edge of any kind: scalar."""
        pools = draw_pools(self.graph.num_nodes, self._groups, self.config.negatives, generator)
        seeds = self._seeds(batch, pools)
        hidden = exclusion(self.graph, batch)
        blocks = sample_blocks(self.graph, seeds, self.config.fan_outs, generator, hidden)
        features = {t: self.graph.features[t][nodes] for t, nodes in blocks[0].src_nodes.items()}
        z = model(features, blocks, self.max_pool)
        place = {t: places(nodes, self.graph.num_nodes[t]) for t, nodes in seeds.items()}
        rows = {t: _Rows(z[t], place[t]) for t in seeds}
        rejection = Rejection(self.graph, pools)
        losses = [self._pair_losses(pairs, rows, pools, rejection) for pairs in both_ways(batch)]
        return torch.cat(losses).mean()

    @property
    def _groups(self) -> list[tuple[str, ...]]:
        return type_groups(self.graph, self.config.negative_types == "catalogue")

    def _seeds(self, batch: LinkSets, pools: Pools) -> dict[str, Tensor]:
        """Every node whose embedding the loss needs, once, ascending: ids per type."""
        wanted = {t: [pool] for t, pool in pools.items()}
        for relation, links in batch.items():
            wanted[relation.src].append(links.src)
            wanted[relation.dst].append(links.dst)
        return {t: torch.unique(torch.cat(nodes)) for t, nodes in wanted.items()}

    def _pair_losses(self, pairs: Pairs, rows: dict[str, _Rows], pools: Pools, rejection: Rejection) -> Tensor:
        anchor = rows[pairs.anchor_type].of(pairs.anchors)  # [n, dim]
        positive = (anchor * rows[pairs.positive_type].of(pairs.positives)).sum(dim=1)
        types = next(group for group in self._groups if pairs.positive_type in group)
        negative = anchor @ torch.cat([rows[t].of(pools[t]) for t in types]).T  # [n, pool size]
        rejected = torch.cat([rejection.mask(pairs.anchor_type, pairs.anchors, t) for t in types], dim=1)
        if self.config.loss == "margin":
            return margin_loss(positive, negative, rejected, self.config.margin)
        return softmax_loss(positive, negative, rejected, self.config.temperature)


@dataclass(frozen=True)
class _Rows:
    """Embeddings of some nodes, found by node id."""

    z: Tensor  # [num_seeds, dim]
    place: Tensor  # int32 [num_nodes]

    def of(self, nodes: Tensor) -> Tensor:
        return self.z[self.place[nodes].long()]


def both_ways(batch: LinkSets) -> Iterator[Pairs]:
    """A batch's links as anchor and positive, from either end."""
    for relation, links in batch.items():
        yield Pairs(relation.src, links.src, relation.dst, links.dst)
        yield Pairs(relation.dst, links.dst, relation.src, links.src)
