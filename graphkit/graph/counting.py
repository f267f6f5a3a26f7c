"""Co-listening counts, one block of destination items at a time.

A block is a pure function of two sparse matrices and the rules: each of its rows is counted completely (a dense
accumulator over the source items, Gustavson 1978), so support, shrinkage and top-K apply at once, nothing partial
leaves the block, and memory is that of the accumulator and of the edges that are kept.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from graphkit.graph.incidence import Floats, Ints, Lists, Longs
from graphkit.graph.kernel import Formula, Rules, Scratch, count_rows

#: Edges that a block writes before it hands them over: 48 MB.
_MAX_ROOM: Final = 4_000_000


class EdgeBlock(NamedTuple):
    """The in-edges of a run of destination items, complete, by destination; sources ascending."""

    degree: Longs  # [num_rows]
    src: Ints  # [num_edges]
    support: Ints  # [num_edges], users who have both
    weight: Floats  # [num_edges]


def block_bounds(src: Lists, dst: Lists, max_pairs: int) -> list[tuple[int, int]]:
    """Runs ``[start, stop)`` of destination items of about ``max_pairs`` counted pairs each, at least one item."""
    total = np.concatenate([np.zeros(1, np.int64), np.cumsum(pairs_per_item(src, dst))])
    bounds, start = [], 0
    while start < len(total) - 1:
        within = int(np.searchsorted(total, total[start] + max_pairs, side="right")) - 1
        stop = min(max(within, start + 1), len(total) - 1)
        bounds.append((start, stop))
        start = stop
    return bounds


def pairs_per_item(src: Lists, dst: Lists) -> Longs:
    """The pairs that a count of each destination item visits: int64 [num_dst]."""
    lengths = np.diff(src.indptr)
    total = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths[dst.ids])])
    return np.diff(total[dst.indptr])


def count_block(src: Lists, dst: Lists, bounds: tuple[int, int], formula: Formula, rules: Rules) -> EdgeBlock:
    """All edges with a destination in ``bounds``. Paper 4.1.1: an edge wherever a user streamed both.

    ``src`` are the source items of each owner, ``dst`` the owners of each destination item. An item is never
    joined to itself. Of equal weights the ``top_k`` keep those first in a seeded random order.
    """
    start, stop = bounds
    degree = np.zeros(stop - start, np.int64)
    parts: list[tuple[Ints, Ints, Floats]] = []
    width = len(formula.src)
    room = max(width, min((stop - start) * min(rules.top_k or width, width), _MAX_ROOM))
    scratch = Scratch.of(width, len(src.weight) > 0, rules)
    while start < stop or not parts:
        out = np.empty(room, np.int32), np.empty(room, np.int32), np.empty(room, np.float32)
        first = start - bounds[0]
        start, used = count_rows(src, dst, (start, stop), formula, rules, scratch, degree[first:], *out)
        parts.append((out[0][:used], out[1][:used], out[2][:used]))
    sources, supports, weights = zip(*parts, strict=True)
    return EdgeBlock(degree, np.concatenate(sources), np.concatenate(supports), np.concatenate(weights))
