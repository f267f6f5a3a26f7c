"""In-edges from the items of the likest text, for items that nobody has listened to together with another yet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Final

import numpy as np
import numpy.typing as npt

from graphkit.graph.store import CoListeningGraph, Csc

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
Masks = Mapping[str, Mask]

#: Similarities held at once.
_SCORES: Final = 2**24
#: The weight of an edge between texts that have nothing in common.
_LEAST: Final = 1e-3


def with_text_neighbours(
    graph: CoListeningGraph, count: int, rows: Masks | None = None, among: Masks | None = None
) -> CoListeningGraph:
    """The graph with up to ``count`` in-edges for each item that has text and no in-edge of any relation.

    They come from the items of its type with in-edges whose text vectors have the largest cosine with its own,
    weighed by it, and belong to the type's first relation with itself; where there is none, nothing is added. No
    other node's in-edges change. ``rows`` and ``among`` (bool [num_nodes] per type) say which items may get such
    edges and which they may come from; by default all. An item's own text alone says where it lies among other texts,
    but not where among embeddings that were learned from listening: its neighbours' do.
    """
    relations = dict(graph.relations)
    for node_type, text in graph.features.items() if count else ():
        relation = next((r for r in relations if r.src == r.dst == node_type), None)
        linked, known = has_in_edges(graph, node_type), np.asarray(text).any(axis=1)
        lonely = np.flatnonzero(known & ~linked & (True if rows is None else rows[node_type]))
        others = np.flatnonzero(known & (linked if among is None else among[node_type]))
        if relation is not None and len(lonely) and len(others):
            nearest, weight = _nearest(_unit(text), lonely, others, min(count, len(others)))
            relations[relation] = _joined(relations[relation], lonely, nearest, weight)
    return replace(graph, relations=relations)


def _unit(vectors: Floats) -> Floats:
    """Rows scaled to length 1; zero rows stay zero."""
    unit: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
    return unit


def has_in_edges(graph: CoListeningGraph, node_type: str) -> Mask:
    """Which nodes of a type have an in-edge of any relation: bool [num_nodes]."""
    found = np.zeros(graph.num_nodes[node_type], dtype=bool)
    for relation, csc in graph.relations.items():
        if relation.dst == node_type:
            found |= np.diff(csc.indptr) > 0
    return found


def _nearest(unit: Floats, rows: Ints, others: Ints, count: int) -> tuple[Ints, Floats]:
    """The ``count`` of ``others`` nearest to each of ``rows``, ascending, and their cosines: [num_rows, count]."""
    nodes, weights = [], []
    among = unit[others].T
    for block in np.array_split(rows, max(1, len(rows) * len(others) // _SCORES)):
        cosine = unit[block] @ among
        top = np.sort(np.argpartition(-cosine, count - 1, axis=1)[:, :count], axis=1)
        nodes.append(others[top])
        weights.append(np.maximum(np.take_along_axis(cosine, top, axis=1), _LEAST))
    return np.concatenate(nodes), np.concatenate(weights)


def _joined(csc: Csc, rows: Ints, sources: Ints, weight: Floats) -> Csc:
    """``csc`` with in-edges for ``rows``, which have none: ``sources`` and ``weight`` are [num_rows, count]."""
    degree = np.diff(csc.indptr)
    degree[rows] = sources.shape[1]
    indptr = np.concatenate([[0], np.cumsum(degree)])
    new = np.zeros(indptr[-1], dtype=bool)
    new[(indptr[rows][:, None] + np.arange(sources.shape[1])).ravel()] = True
    indices, weights = np.empty(len(new), np.int32), np.empty(len(new), np.float32)
    indices[new], indices[~new] = sources.ravel(), csc.indices
    weights[new], weights[~new] = weight.ravel(), csc.weight
    return Csc(indptr, indices, weights)
