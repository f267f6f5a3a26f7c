"""Negative nodes, and which of them are none because the anchor has an edge to them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphkit.graph.store import Relation
from graphkit.hgnn.blocks import places
from graphkit.hgnn.graph_tensors import GraphTensors
from graphkit.hgnn.links import LinkSets

#: Node ids a batch's anchors share as negatives, by type.
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


def link_frequency(num_nodes: Mapping[str, int], links: LinkSets, counts: Mapping[Relation, int]) -> Pools:
    """How often an epoch that draws ``counts`` links per relation meets each node at an end: float32 [num_nodes]."""
    frequency = {}
    for node_type, n in num_nodes.items():
        found = torch.zeros(n, device=next(iter(links.values())).src.device)
        for relation, count in counts.items():
            share = torch.tensor(count / len(links[relation]), device=found.device)
            if relation.src == node_type:
                found.index_add_(0, links[relation].src, share.expand(len(links[relation])))
            if relation.dst == node_type:
                found.index_add_(0, links[relation].dst, share.expand(len(links[relation])))
        frequency[node_type] = found
    return frequency


def batch_ends(batch: LinkSets, node_type: str, count: int, generator: torch.Generator) -> Tensor:
    """``count`` of the batch's link ends of a type (or all there are): popular nodes are drawn more often."""
    ends = [
        part for r, links in batch.items() for t, part in ((r.src, links.src), (r.dst, links.dst)) if t == node_type
    ]
    if not ends:
        return torch.zeros(0, dtype=torch.int64, device=generator.device)
    every = torch.cat(ends)
    return every[_draw(len(every), count, generator)]


def neighbours_of(graph: GraphTensors, node_type: str, nodes: Tensor, generator: torch.Generator) -> Tensor:
    """A random neighbour of the same type for each of ``nodes`` that has one: hard for what links to the latter."""
    edges = graph.neighbours.get((node_type, node_type))
    if edges is None:
        return nodes[:0]
    start = edges.indptr[nodes]
    degree = edges.indptr[nodes + 1] - start
    uniform = torch.rand(len(nodes), generator=generator, device=nodes.device, dtype=torch.float64)
    position = start + (uniform * degree).long()
    return edges.indices[position[degree > 0]].long()


def expected_draws(frequency: Tensor, uniform: float, from_batch: float) -> Tensor:
    """How often each node is expected in a pool: float32 [num_nodes], at most 1.

    Of ``uniform`` nodes drawn evenly, and ``from_batch`` in proportion to ``frequency`` [num_nodes].
    """
    evenly, by_frequency = uniform / max(len(frequency), 1), from_batch / frequency.sum().clamp_min(1e-9)
    return (evenly + by_frequency * frequency).clamp_max(1)


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
