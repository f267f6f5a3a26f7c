"""A graph with more nodes, and the part of a graph that some nodes' embeddings depend on. Numpy alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graphkit.graph.store import CoListeningGraph, Csc, Relation

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class NewEdges:
    """Edges of one directed relation into new nodes; the new nodes of a type are numbered after those it had."""

    src: Ints  # [num_edges]
    dst: Ints  # [num_edges], new nodes
    weight: Floats  # [num_edges]


def extend_graph(
    graph: CoListeningGraph, features: Mapping[str, Floats], edges: Mapping[Relation, NewEdges]
) -> CoListeningGraph:
    """The graph with a new node per row of ``features`` ([num_new, dim] per type) and with ``edges``.

    No edge leads into a node that was there, so the embeddings of those stay what they are. Raises ValueError
    for an edge that does, or one of a relation that the graph does not have.
    """
    if unknown := [relation.name for relation in edges if relation not in graph.relations]:
        raise ValueError(f"the graph has no relation {unknown[0]}")
    num_nodes = {t: n + len(features.get(t, ())) for t, n in graph.num_nodes.items()}
    relations = {
        relation: _appended(csc, edges.get(relation), graph.num_nodes[relation.dst], num_nodes[relation.dst])
        for relation, csc in graph.relations.items()
    }
    every = {t: np.concatenate([own, features[t]]) if t in features else own for t, own in graph.features.items()}
    return CoListeningGraph(num_nodes, relations, every)


def _appended(csc: Csc, new: NewEdges | None, num_old: int, num_dst: int) -> Csc:
    if new is None or not len(new.dst):
        more = np.full(num_dst - num_old, csc.indptr[-1], np.int64)
        return Csc(np.concatenate([csc.indptr, more]), csc.indices, csc.weight)
    if new.dst.min() < num_old:
        raise ValueError(f"an edge leads into node {new.dst.min()}, which was there before")
    order = np.lexsort((new.src, new.dst))
    degree = np.bincount(new.dst - num_old, minlength=num_dst - num_old)
    return Csc(
        np.concatenate([csc.indptr, csc.indptr[-1] + np.cumsum(degree)]),
        np.concatenate([csc.indices, new.src[order].astype(np.int32)]),
        np.concatenate([csc.weight, new.weight[order].astype(np.float32)]),
    )


def dependency_graph(
    graph: CoListeningGraph, nodes: Mapping[str, Ints], hops: int
) -> tuple[CoListeningGraph, dict[str, Ints]]:
    """What the embeddings of ``nodes`` (ids per type) under ``hops`` layers depend on, and the ids of its nodes.

    ``ids[t]`` is ascending; node i of the part is node ``ids[t][i]`` of the graph. Only nodes less than ``hops``
    edges away have their in-edges, so the embeddings of the others are not those of the whole graph.
    """
    pooled = reached_nodes(graph, nodes, hops - 1)
    kept = _with_sources(graph, pooled)
    number = {t: np.cumsum(mask) - 1 for t, mask in kept.items()}  # in the part; of kept nodes only
    relations = {
        relation: _part(csc, pooled[relation.dst], kept[relation.dst], number[relation.src])
        for relation, csc in graph.relations.items()
    }
    features = {t: own[kept[t]] for t, own in graph.features.items()}
    num_nodes = {t: int(mask.sum()) for t, mask in kept.items()}
    return CoListeningGraph(num_nodes, relations, features), {t: np.flatnonzero(m) for t, m in kept.items()}


def reached_nodes(graph: CoListeningGraph, nodes: Mapping[str, Ints], hops: int) -> dict[str, Mask]:
    """``nodes`` (ids per type) and what leads to them in at most ``hops`` edges: bool [num_nodes] per type."""
    reached = {t: np.zeros(n, bool) for t, n in graph.num_nodes.items()}
    for node_type, ids in nodes.items():
        reached[node_type][ids] = True
    for _ in range(hops):
        reached = _with_sources(graph, reached)
    return reached


def _with_sources(graph: CoListeningGraph, reached: Mapping[str, Mask]) -> dict[str, Mask]:
    """The nodes reached, and the sources of their in-edges."""
    more = {t: mask.copy() for t, mask in reached.items()}
    for relation, csc in graph.relations.items():
        more[relation.src][csc.indices[_edges_into(csc, reached[relation.dst])]] = True
    return more


def _part(csc: Csc, pooled: Mask, kept: Mask, number: Ints) -> Csc:
    """The in-edges of ``pooled`` nodes among the destinations ``kept``, sources by their ``number``."""
    degree = np.where(pooled, np.diff(csc.indptr), 0)[kept]
    edges = _edges_into(csc, pooled)
    indptr = np.concatenate([[0], np.cumsum(degree)]).astype(np.int64)
    return Csc(indptr, number[csc.indices[edges]].astype(np.int32), csc.weight[edges])


def _edges_into(csc: Csc, nodes: Mask) -> Ints:
    """Where the in-edges of some destinations stand, ascending: int64 [num_found]."""
    dst = np.flatnonzero(nodes)
    degree = csc.indptr[dst + 1] - csc.indptr[dst]
    first = np.cumsum(degree) - degree
    within = np.arange(degree.sum()) - np.repeat(first, degree)
    edges: Ints = np.repeat(csc.indptr[dst], degree) + within
    return edges
