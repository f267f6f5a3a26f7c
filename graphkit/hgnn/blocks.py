"""Message-flow blocks: the nodes and in-edges one layer needs, by sampling a fixed number of neighbours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from graphkit.graph.store import Relation
from graphkit.hgnn.draws import in_edge_positions, mix_key
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
    cold: Mapping[str, Tensor] | None = None,
) -> list[Block]:
    """Blocks that compute ``seeds`` (distinct node ids per type), the first layer's first.

    Layer k takes at most ``fan_outs[k]`` in-neighbours per node and relation, uniformly and without
    replacement; edges that ``excluded`` marks (bool [num_edges] per relation) then fall out. Nodes that
    ``cold`` marks (bool [num_nodes] per type) get no in-edge in any layer, like an item that is new.
    """
    blocks: list[Block] = []
    dst, key = dict(seeds), int(torch.randint(2**62, (), generator=generator, device=generator.device))
    for layer, fan_out in reversed(list(enumerate(fan_outs))):
        sampled = {
            r: sample_in_edges(edges, dst[r.dst], fan_out, mix_key(key, layer, number), excluded.get(r))
            for number, (r, edges) in enumerate(graph.relations.items())
        }
        if cold is not None:
            sampled = {r: edges.without_rows(cold[r.dst][dst[r.dst]]) for r, edges in sampled.items()}
        block = _block(graph, dst, sampled)
        blocks.insert(0, block)
        dst = block.src_nodes
    return blocks


def sample_in_edges(edges: InEdges, dst: Tensor, fan_out: int, key: int, excluded: Tensor | None = None) -> InEdges:
    """At most ``fan_out`` in-edges of each node of ``dst`` [n]; the indices stay node ids, ``indptr`` is [n + 1].

    Which ones depends on ``key`` and the node alone.
    """
    ends, positions = in_edge_positions(edges.indptr, dst, fan_out, key, excluded)
    return edges.at(ends.int(), positions)


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
    relations = {r: replace(edges, indices=place[r.src][edges.indices.long()]) for r, edges in sampled.items()}
    return Block(src_nodes, {t: len(nodes) for t, nodes in dst.items()}, relations)


def places(nodes: Tensor, num_nodes: int) -> Tensor:
    """Where each node stands in ``nodes``; -1 where it does not: int32 [num_nodes]."""
    place = torch.full((num_nodes,), -1, dtype=torch.int32, device=nodes.device)
    place[nodes] = torch.arange(len(nodes), dtype=torch.int32, device=nodes.device)
    return place
