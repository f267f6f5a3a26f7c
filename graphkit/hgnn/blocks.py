"""Message-flow blocks: the nodes and in-edges one layer needs, by sampling a fixed number of neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from graphkit.graph.store import Relation
from graphkit.hgnn.graph_tensors import GraphTensors, InEdges


@dataclass(frozen=True)
class Block:
    """One layer's computation. Destinations are the first ``num_dst`` of a type's source nodes.

    In-edges count both ends along the block: a destination is its place among the destinations of its
    type, an index the place of a source among the sources of its type.
    """

    src_nodes: dict[str, Tensor]  # int64 [num_src]: node ids
    num_dst: dict[str, int]
    relations: dict[Relation, InEdges]


def sample_blocks(
    graph: GraphTensors,
    seeds: Mapping[str, Tensor],
    fan_outs: Sequence[int],
    generator: torch.Generator,
    excluded: Mapping[Relation, Tensor],
) -> list[Block]:
    """Blocks that compute ``seeds`` (distinct node ids per type), the first layer's first.

    Layer k takes at most ``fan_outs[k]`` in-neighbours per node and relation, uniformly and without
    replacement; edges that ``excluded`` marks (bool [num_edges] per relation) then fall out.
    """
    blocks: list[Block] = []
    dst = dict(seeds)
    for fan_out in reversed(fan_outs):
        sampled = {
            relation: sample_in_edges(edges, dst[relation.dst], fan_out, generator, excluded.get(relation))
            for relation, edges in graph.relations.items()
        }
        block = _block(graph, dst, sampled)
        blocks.insert(0, block)
        dst = block.src_nodes
    return blocks


def sample_in_edges(
    edges: InEdges, dst: Tensor, fan_out: int, generator: torch.Generator, excluded: Tensor | None = None
) -> InEdges:
    """At most ``fan_out`` in-edges of each node of ``dst`` [n]; the indices stay node ids, ``indptr`` is [n + 1]."""
    start = edges.indptr[dst]
    degree = edges.indptr[dst + 1] - start
    offset = torch.arange(fan_out, device=dst.device).repeat(len(dst), 1)  # [n, fan_out]
    valid = offset < degree[:, None]
    crowded = torch.nonzero(degree > fan_out).flatten()
    offset[crowded] = draw_distinct(degree[crowded], fan_out, generator)
    position = start[:, None] + offset
    if excluded is not None and len(excluded):
        valid &= ~excluded[position.clamp_max(len(excluded) - 1)]
    indptr = torch.zeros(len(dst) + 1, dtype=torch.int32, device=dst.device)
    indptr[1:] = valid.sum(dim=1).cumsum(0)
    return InEdges(indptr, edges.indices[position[valid]])


def draw_distinct(population: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """``count`` distinct numbers below each of ``population`` [n] (all at least ``count``): int64 [n, count].

    Floyd's algorithm, one column at a time for all rows: every subset is equally likely.
    """
    chosen = torch.empty(count, len(population), dtype=torch.int64, device=population.device)
    uniform = torch.rand(count, len(population), generator=generator, device=population.device, dtype=torch.float64)
    for i in range(count):
        last = population - count + i
        drawn = (uniform[i] * (last + 1)).long()
        taken = (chosen[:i] == drawn).any(dim=0)
        chosen[i] = torch.where(taken, last, drawn)
    return chosen.t()


def _block(graph: GraphTensors, dst: Mapping[str, Tensor], sampled: Mapping[Relation, InEdges]) -> Block:
    """Number the nodes of ``sampled``: destinations first, then the other sources, ascending."""
    src_nodes, place = {}, {}
    for node_type, num_nodes in graph.num_nodes.items():
        touched = torch.zeros(num_nodes, dtype=torch.bool, device=graph.device)
        for relation, edges in sampled.items():
            if relation.src == node_type:
                touched[edges.indices.long()] = True
        touched[dst[node_type]] = False
        src_nodes[node_type] = torch.cat([dst[node_type], torch.nonzero(touched).flatten()])
        place[node_type] = places(src_nodes[node_type], num_nodes)
    relations = {r: InEdges(edges.indptr, place[r.src][edges.indices.long()]) for r, edges in sampled.items()}
    return Block(src_nodes, {t: len(nodes) for t, nodes in dst.items()}, relations)


def places(nodes: Tensor, num_nodes: int) -> Tensor:
    """Where each node stands in ``nodes``; -1 where it does not: int32 [num_nodes]."""
    place = torch.full((num_nodes,), -1, dtype=torch.int32, device=nodes.device)
    place[nodes] = torch.arange(len(nodes), dtype=torch.int32, device=nodes.device)
    return place
