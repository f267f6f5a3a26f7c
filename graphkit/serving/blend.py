"""The best items of a type by the blend of two scores: along the edges, and by the towers."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from graphkit.indexes.exact import best
from graphkit.indexes.item_index import ItemIndex
from graphkit.serving.edges import EdgeScores

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Items = npt.NDArray[np.int64]


def blended_top(
    index: ItemIndex, vector: Floats, edges: EdgeScores, towers_weight: float, k: int, allowed: Flags
) -> tuple[Items, Floats]:
    """The ``k`` best ``allowed`` items [num_items], best first, by edges / std + ``towers_weight`` * dot / std.

    ``vector`` [dim] is the user's. Both spreads are over the whole type: that of the dot products follows from the
    covariance of the item vectors. Every allowed item that an edge reaches is scored; of the others the index is
    asked for more until none left out can be among the best. Where few are allowed, all those are scored instead.
    """
    weight = over_spread(towers_weight, float(index.spreads(vector[None])[0]))
    by_edges = edges.values * np.float32(over_spread(1.0, edges.spread()))
    may_list = allowed[edges.items]
    reached, along = edges.items[may_list], by_edges[may_list]
    others = allowed.copy()
    others[reached] = False
    num_allowed = int(np.count_nonzero(allowed))
    wanted = _first_wanted(k, num_allowed, index.num_items)
    while True:
        everything = wanted == index.num_items or index.looks_at(wanted) >= num_allowed
        if everything:
            near, worst = np.flatnonzero(others), -math.inf
        else:
            near, dots = index.nearest(vector, wanted)
            near, worst = near[others[near]], weight * float(dots[-1])
        items = np.concatenate([reached, near])
        scores = (np.float32(weight) * index.dots(vector, items)).astype(np.float32)
        scores[: len(reached)] += along
        items, scores = best(items, scores, k)
        if everything or (len(items) == k and scores[-1] >= worst):
            return items, scores
        wanted = min(4 * wanted, index.num_items)


def over_spread(value: float, spread: float) -> float:
    """``value`` in units of ``spread``; 0 where nothing spreads."""
    return value / spread if spread > 0 else 0.0


def _first_wanted(k: int, num_allowed: int, num_items: int) -> int:
    """Items to ask for at first: those left out may all be nearer, or be spread evenly among the others."""
    at_worst = k + num_items - num_allowed
    if num_allowed == 0:
        return num_items
    return min(at_worst, math.ceil(2 * k * num_items / num_allowed), num_items)
