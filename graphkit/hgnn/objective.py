"""The training objective of one batch: embed the links' ends and their negatives, then the loss."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Final, NamedTuple

import torch
from torch import Tensor

from graphkit.config.hgnn import HgnnSection
from graphkit.hgnn.blocks import Block, places, sample_blocks
from graphkit.hgnn.graph_tensors import GraphTensors
from graphkit.hgnn.links import LinkSets, exclusion
from graphkit.hgnn.losses import margin_loss, softmax_loss
from graphkit.hgnn.model import HeteroSage
from graphkit.hgnn.negatives import (
    Pools,
    Rejection,
    batch_ends,
    draw_pools,
    expected_draws,
    neighbours_of,
    type_groups,
)
from graphkit.hgnn.neighbours import Pooling

Masks = dict[str, Tensor]


class Part(NamedTuple):
    """Which share of a batch's links a process takes: number ``rank`` of ``world``."""

    rank: int
    world: int

    def of(self, batch: LinkSets) -> LinkSets:
        """This share of each relation's links; the shares of all ranks make up the batch."""
        parts = {}
        for relation, links in batch.items():
            start, stop = (len(links) * at // self.world for at in (self.rank, self.rank + 1))
            parts[relation] = links.take(torch.arange(start, stop, device=links.src.device))
        return parts


WHOLE: Final = Part(0, 1)


class Pairs(NamedTuple):
    """Anchors and their positives: each link once from either end."""

    anchor_type: str
    anchors: Tensor  # int64 [n]
    positive_type: str
    positives: Tensor  # int64 [n]


@dataclass(frozen=True)
class Objective:
    """What is minimised over ``graph``, from which held-out links are gone already.

    ``frequency`` says how often an epoch of so many ``batches`` meets each node (``link_frequency``).
    """

    graph: GraphTensors
    pooling: Pooling
    config: HgnnSection
    frequency: Pools
    batches: int

    def loss(self, model: HeteroSage, batch: LinkSets, generator: torch.Generator, part: Part = WHOLE) -> Tensor:
        """Mean loss of a batch's links, of which message passing sees no edge of any kind: scalar.

        For a ``part`` of the batch, that part's share in it: the values of all parts add up to the whole's.
        Pools, neighbours and hidden ids depend on the generator and the batch, not on the part.
        """
        pools, links, hidden = self._pools(batch, generator), part.of(batch), exclusion(self.graph, batch)
        seeds, cold = self._seeds(links, pools), self._some_nodes(self.config.cold_share, generator)
        blocks = sample_blocks(self.graph, seeds, self.config.fan_outs, generator, hidden, cold)
        z = self._embed(model, blocks, cold, generator)
        place = {t: places(nodes, self.graph.num_nodes[t]) for t, nodes in seeds.items()}
        rows = {t: _Rows(z[t].float(), place[t]) for t in seeds}
        rejection = Rejection(self.graph, pools)
        with torch.autocast(self.graph.device.type, enabled=False):
            losses = [self._pair_losses(pairs, rows, pools, rejection) for pairs in both_ways(links)]
        return torch.cat(losses).sum() / (2 * sum(map(len, batch.values())))

    def _embed(
        self, model: HeteroSage, blocks: list[Block], cold: Masks | None, generator: torch.Generator
    ) -> dict[str, Tensor]:
        nodes = blocks[0].src_nodes
        features = {t: self.graph.features[t][its_nodes] for t, its_nodes in nodes.items()}
        ids = nodes
        dropped = self.config.id_dropout if model.shape.num_ids else 0
        for unknown in (self._some_nodes(dropped, generator), cold):
            if unknown is not None:
                ids = {t: torch.where(unknown[t][nodes[t]], -1, its_ids) for t, its_ids in ids.items()}
        z: dict[str, Tensor] = model(features, blocks, self.pooling, ids)
        return z

    def _some_nodes(self, share: float, generator: torch.Generator) -> Masks | None:
        """A random share of the nodes: bool [num_nodes] per type; None for none."""
        if not share:
            return None
        uniform = partial(torch.rand, generator=generator, device=generator.device)
        return {t: uniform(n) < share for t, n in self.graph.num_nodes.items()}

    def _pools(self, batch: LinkSets, generator: torch.Generator) -> Pools:
        """Uniform draws, and as configured ends of the batch's links and neighbours of such ends, each node once."""
        pools, config = draw_pools(self.graph.num_nodes, self._groups, self.config.negatives, generator), self.config
        for node_type in pools:
            more = [batch_ends(batch, node_type, config.batch_negatives, generator)]
            ends = batch_ends(batch, node_type, config.hard_negatives, generator)
            more.append(neighbours_of(self.graph, node_type, ends, generator))
            if any(map(len, more)):
                pools[node_type] = torch.unique(torch.cat([pools[node_type], *more]))
        return pools

    @cached_property
    def _correction(self) -> Pools:
        """The log of how much likelier than the average node of its group each node is drawn: float32 [num_nodes]."""
        found: Pools = {}
        for group in self._groups:
            num = max(sum(self.graph.num_nodes[t] for t in group), 1)
            expected, total = {}, 0.0
            for t in group:
                uniform = min(self.config.negatives, num) * self.graph.num_nodes[t] / num
                ends = float(self.frequency[t].sum()) / self.batches  # of a batch
                from_batch = min(self.config.batch_negatives, ends)
                expected[t] = expected_draws(self.frequency[t], uniform, from_batch)
                total += uniform + from_batch
            found |= {t: torch.log(often * num / total) for t, often in expected.items()}
        return found

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
        correction = torch.cat([self._correction[t][pools[t]] for t in types])
        return softmax_loss(positive, negative, rejected, self.config.temperature, correction)


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
