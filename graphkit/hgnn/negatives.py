"""Negative nodes, and which of them are none because the anchor has an edge to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphkit.hgnn.blocks import places
from graphkit.hgnn.graph_tensors import GraphTensors

Pools = dict[str, Tensor]


def type_groups(graph: GraphTensors, whole_catalogue: bool) -> list[tuple[str, ...]]:
    """The types that are drawn from together: a positive's negatives are of its group.

    ``whole_catalogue``: the items, whatever their type (equation 4's n ~ C), and users apart. Else every type
    by itself.
    """
    if not whole_catalogue:
        return [(t,) for t in graph.types]
    return [graph.item_types, *((t,) for t in graph.types if t not in graph.item_types)]


def draw_pools(
    num_nodes: Mapping[str, int], groups: Sequence[tuple[str, ...]], count: int, generator: torch.Generator
) -> Pools:
    """Node ids a batch's anchors share as negatives, by type: ``count`` of each group, or all there are.

    Uniform over a group's nodes and without replacement.
    """
    pools = {}
    for group in groups:
        drawn, offset = _draw(sum(num_nodes[t] for t in group), count, generator), 0
        for node_type in group:
            n = num_nodes[node_type]
            pools[node_type] = drawn[(drawn >= offset) & (drawn < offset + n)] - offset
            offset += n
    return pools


@dataclass(frozen=True)
class Rejection:
    """Whether a pool's node is no negative of an anchor: joined to it by an edge of any kind, or itself."""

    graph: GraphTensors
    pools: Pools

    def mask(self, anchor_type: str, anchors: Tensor, pool_type: str) -> Tensor:
        """bool [len(anchors), pool size]: true where the pair must not count as a negative one."""
        pool = self.pools[pool_type]
        rows, row = torch.unique(anchors, return_inverse=True)
        place = places(rows, self.graph.num_nodes[anchor_type])
        hit = torch.zeros(len(rows), len(pool), dtype=torch.bool, device=pool.device)
        self._mark_neighbours(hit, place, anchor_type, pool_type)
        if anchor_type == pool_type:
            itself = place[pool]
            hit[itself[itself >= 0].long(), torch.nonzero(itself >= 0).flatten()] = True
        return hit[row]

    def _mark_neighbours(self, hit: Tensor, place: Tensor, anchor_type: str, pool_type: str) -> None:
        edges = self.graph.neighbours.get((anchor_type, pool_type))
        if edges is None:
            return
        column, neighbour = edges.of(self.pools[pool_type])
        at = place[neighbour]
        hit[at[at >= 0].long(), column[at >= 0]] = True


def _draw(population: int, count: int, generator: torch.Generator) -> Tensor:
    return torch.randperm(population, generator=generator, device=generator.device)[:count]
