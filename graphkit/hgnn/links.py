"""Links: the graph's undirected edges, which training asks the model to predict."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from graphkit.errors import ArtefactError
from graphkit.graph.store import Relation
from graphkit.hgnn.graph_tensors import GraphTensors


@dataclass(frozen=True)
class Links:
    """Undirected edges of one relation (source type, destination type), each once.

    ``forward`` is where src → dst stands among the in-edges of the relation, ``reverse`` where dst → src
    stands among those of the relation turned round: the two edges that message passing must not use while
    the link is a training target.
    """

    src: Tensor  # int64 [num_links]
    dst: Tensor  # int64 [num_links]
    forward: Tensor  # int64 [num_links]
    reverse: Tensor  # int64 [num_links]

    def __len__(self) -> int:
        return len(self.src)

    def take(self, chosen: Tensor) -> Links:
        """The links at positions ``chosen``, in that order."""
        return Links(*(getattr(self, field.name)[chosen] for field in fields(self)))


LinkSets = dict[Relation, Links]


def find_links(graph: GraphTensors) -> LinkSets:
    """All links, by unordered relation (source type not after destination type); self-loops are none.

    Raises ArtefactError where an edge has no reverse.
    """
    order = {node_type: i for i, node_type in enumerate(graph.types)}
    unordered = [(src, dst) for src, dst in graph.relations if order[src] <= order[dst]]
    return {relation: _links(graph, relation) for relation in unordered}


def without(graph: GraphTensors, links: LinkSets) -> GraphTensors:
    """The graph less ``links``, in both directions."""
    kept = {r: ~mask for r, mask in exclusion(graph, links).items()}
    relations = {r: edges.keep(kept[r]) if r in kept else edges for r, edges in graph.relations.items()}
    return replace(graph, relations=relations)


def exclusion(graph: GraphTensors, links: LinkSets) -> dict[Relation, Tensor]:
    """Masks (bool [num_edges] per directed relation) of the edges that ``links`` and their reverses are."""
    masks: dict[Relation, Tensor] = {}
    for (src, dst), chosen in links.items():
        for relation, position in (((src, dst), chosen.forward), ((dst, src), chosen.reverse)):
            if relation not in masks:
                num_edges = len(graph.relations[relation].indices)
                masks[relation] = torch.zeros(num_edges, dtype=torch.bool, device=graph.device)
            masks[relation][position] = True
    return masks


def _links(graph: GraphTensors, relation: Relation) -> Links:
    src_type, dst_type = relation
    edges, turned = graph.relations[relation], graph.relations.get((dst_type, src_type))
    if turned is None:
        raise _asymmetric(relation)
    src, dst = edges.indices.long(), edges.destinations()
    forward = torch.arange(len(src), device=src.device)
    if src_type == dst_type:
        forward = forward[src < dst]
        src, dst = src[forward], dst[forward]
    # In-edges are sorted by destination, then source: so are these keys.
    num_dst = graph.num_nodes[dst_type]
    keys = turned.destinations() * num_dst + turned.indices
    wanted = src * num_dst + dst
    reverse = torch.searchsorted(keys, wanted).clamp_max(max(len(keys) - 1, 0))
    if len(wanted) and (len(keys) == 0 or bool((keys[reverse] != wanted).any())):
        raise _asymmetric(relation)
    return Links(src, dst, forward, reverse)


def _asymmetric(relation: Relation) -> ArtefactError:
    return ArtefactError(
        f"the graph's relation {'-'.join(relation)} has an edge without its reverse",
        expected="every edge in both directions",
        fix="run `graphkit build-graph` again",
    )
