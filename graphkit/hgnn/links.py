"""Links: the graph's undirected edges, which training asks the model to predict."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from graphkit.graph.store import Relation
from graphkit.hgnn.graph_tensors import GraphTensors


class Places(NamedTuple):
    """Where links stand among the in-edges of a directed relation; -1 for a link that has no edge there."""

    relation: Relation
    position: Tensor  # int64 [num_links]


@dataclass(frozen=True)
class Links:
    """Undirected edges of one relation (source type, kind, destination type), each once.

    ``edges`` are the directed edges that message passing must not use while the link is a training target:
    first src → dst, then dst → src (pruned by destination, one of them may be absent), then the edges of other
    kinds that join the same two nodes either way, because they would give the target away.
    """

    src: Tensor  # int64 [num_links]
    dst: Tensor  # int64 [num_links]
    edges: tuple[Places, ...]

    def __len__(self) -> int:
        return len(self.src)

    def take(self, chosen: Tensor) -> Links:
        """The links at positions ``chosen``, in that order."""
        edges = tuple(Places(relation, position[chosen]) for relation, position in self.edges)
        return Links(self.src[chosen], self.dst[chosen], edges)


LinkSets = dict[Relation, Links]


def find_links(graph: GraphTensors) -> LinkSets:
    """All links, by undirected relation (in the direction that the graph names first); self-loops are none."""
    undirected: dict[Relation, None] = {}
    for relation in graph.relations:
        if relation.reverse not in undirected:
            undirected[relation] = None
    return {relation: _links(graph, relation) for relation in undirected}


def without(graph: GraphTensors, links: LinkSets) -> GraphTensors:
    """The graph less ``links``: in both directions, and whatever else joins the same two nodes."""
    kept = {r: ~mask for r, mask in exclusion(graph, links).items()}
    relations = {r: edges.keep(kept[r]) if r in kept else edges for r, edges in graph.relations.items()}
    return replace(graph, relations=relations)


def exclusion(graph: GraphTensors, links: LinkSets) -> dict[Relation, Tensor]:
    """Masks (bool [num_edges] per directed relation) of the edges that would give ``links`` away."""
    masks: dict[Relation, Tensor] = {}
    for chosen in links.values():
        for relation, position in chosen.edges:
            if relation not in masks:
                num_edges = len(graph.relations[relation].indices)
                masks[relation] = torch.zeros(num_edges, dtype=torch.bool, device=graph.device)
            masks[relation][position[position >= 0]] = True
    return masks


def _links(graph: GraphTensors, relation: Relation) -> Links:
    src, dst = _ends(graph, relation)
    return Links(src, dst, tuple(_edges_between(graph, relation, src, dst)))


def _ends(graph: GraphTensors, relation: Relation) -> tuple[Tensor, Tensor]:
    """Both ends of each link: those with the edge src → dst by (dst, src), then those without."""
    edges = graph.relations[relation]
    src, dst = edges.indices.long(), edges.destinations()
    if relation.same_type:
        src, dst = src[src < dst], dst[src < dst]
    turned = graph.relations.get(relation.reverse)
    if turned is None:
        return src, dst
    back_src, back_dst = turned.destinations(), turned.indices.long()
    alone = graph.find(relation, back_src, back_dst) < 0
    if relation.same_type:
        alone &= back_src < back_dst
    return torch.cat([src, back_src[alone]]), torch.cat([dst, back_dst[alone]])


def _edges_between(graph: GraphTensors, relation: Relation, src: Tensor, dst: Tensor) -> Iterator[Places]:
    """The edges between ``src`` and ``dst`` (nodes of the relation's types), those of its own kind first."""
    ends = (relation.src, relation.dst)
    for other in sorted(graph.relations, key=lambda way: way.kind != relation.kind):
        if (other.src, other.dst) == ends:
            yield Places(other, graph.find(other, src, dst))
        if (other.dst, other.src) == ends:
            yield Places(other, graph.find(other, dst, src))
