"""The heaviest neighbours of every item: the part of the graph that travels with a serving bundle."""

from __future__ import annotations

import numpy as np

from graphkit.artefacts import Batch
from graphkit.graph.store import CO_LISTENING, Csc, read_relation, undirected_relations
from graphkit.ties import tie_order

#: (type of the items, type of their neighbours).
Ends = tuple[str, str]


def co_listening_neighbours(graph: Batch, snapshot: str, most: int, seed: int) -> dict[Ends, Csc]:
    """Each item's ``most`` heaviest co-listening neighbours of each type, heaviest first, of one snapshot.

    Types that the graph does not join by co-listening are left out.
    """
    found = {}
    for undirected in undirected_relations(graph):
        if undirected.kind == CO_LISTENING:
            for relation in dict.fromkeys((undirected, undirected.reverse)):
                in_edges = read_relation(graph, snapshot, relation)
                found[relation.dst, relation.src] = heaviest(in_edges, most, seed)
    return found


def heaviest(in_edges: Csc, most: int, seed: int) -> Csc:
    """The ``most`` heaviest in-edges of each node, heaviest first; of equal weights a seeded order decides."""
    degree = np.diff(in_edges.indptr)
    node = np.repeat(np.arange(len(degree)), degree)
    order = np.lexsort((tie_order(in_edges.indices, seed), -in_edges.weight, node))
    rank = np.arange(len(node)) - in_edges.indptr[node]
    kept = order[rank < most]
    indptr = np.concatenate([[0], np.cumsum(np.minimum(degree, most))]).astype(np.int64)
    return Csc(indptr, in_edges.indices[kept], in_edges.weight[kept])
