"""One undirected edge set from what each end of a relation chose to keep.

With top-K every node keeps its K strongest in-edges, so the two ends of a pair may disagree. ``either`` keeps an
edge that one of them kept (a rare item stays joined to the popular one it depends on), ``both`` one that both kept
(mutual neighbours: sparser, no hubs), ``destination`` leaves each its own choice, as a one-way edge (in-degrees of
at most K, so that the cost of message passing is bounded).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from graphkit.compiled import compiled
from graphkit.graph.incidence import Floats, Ints, Longs, offsets, turned


class InEdges(NamedTuple):
    """What every node of one type keeps, sources ascending."""

    indptr: Longs  # [num_nodes + 1]
    src: Ints  # [num_edges]
    support: Ints  # [num_edges]
    weight: Floats  # [num_edges]


def merged(own: InEdges, other: InEdges, prune: str, whole: bool) -> tuple[Any, ...]:
    """``indptr``, index, support, weight and whether it is an in-edge of the row's and of the column's end, by rows.

    ``own`` are the in-edges of the rows, ``other`` those of the columns (``own`` itself for a
    same-type relation). ``whole``: nothing was pruned, so both ends have every edge.
    """
    if whole:
        kept = np.ones(len(own.src), np.bool_)
        return *own, kept, kept
    indptr, index, order = turned(other.indptr, other.src, len(own.indptr) - 1)
    degree = _union_degrees(own.indptr, own.src, indptr, index, prune == "both")
    starts = offsets(degree)
    edges = _union(own, indptr, index, order, other.support, other.weight, starts, prune == "both")
    if prune == "either":  # whoever kept it, it is an edge of both
        every = np.ones(len(edges[0]), np.bool_)
        return starts, *edges[:3], every, every
    return starts, *edges


@compiled
def _union_degrees(indptr: Longs, src: Ints, turned_indptr: Longs, turned_src: Ints, both: bool) -> Longs:
    degree = np.zeros(len(indptr) - 1, np.int64)
    for row in range(len(degree)):
        one, other = indptr[row], turned_indptr[row]
        one_end, other_end = indptr[row + 1], turned_indptr[row + 1]
        shared = 0
        while one < one_end and other < other_end:
            if src[one] == turned_src[other]:
                shared += 1
                one += 1
                other += 1
            elif src[one] < turned_src[other]:
                one += 1
            else:
                other += 1
        every = (indptr[row + 1] - indptr[row]) + (turned_indptr[row + 1] - turned_indptr[row]) - shared
        degree[row] = shared if both else every
    return degree


@compiled
def _union(
    own: InEdges,
    indptr: Longs,
    index: Ints,
    order: Longs,
    other_support: Ints,
    other_weight: Floats,
    starts: Longs,
    both: bool,
) -> tuple[Ints, Ints, Floats, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    total = starts[-1]
    columns, support, weight = np.empty(total, np.int32), np.empty(total, np.int32), np.empty(total, np.float32)
    at_row, at_column = np.zeros(total, np.bool_), np.zeros(total, np.bool_)
    own_indptr, own_src, own_support, own_weight = own.indptr, own.src, own.support, own.weight
    for row in range(len(starts) - 1):
        one, other, to = own_indptr[row], indptr[row], starts[row]
        one_end, other_end = own_indptr[row + 1], indptr[row + 1]
        while one < one_end or other < other_end:
            mine = one < one_end and (other == other_end or own_src[one] <= index[other])
            theirs = other < other_end and (one == one_end or index[other] <= own_src[one])
            if (mine and theirs) or not both:
                columns[to] = own_src[one] if mine else index[other]
                support[to] = own_support[one] if mine else other_support[order[other]]
                weight[to] = own_weight[one] if mine else other_weight[order[other]]
                at_row[to], at_column[to] = mine, theirs
                to += 1
            one += mine
            other += theirs
    return columns, support, weight, at_row, at_column
