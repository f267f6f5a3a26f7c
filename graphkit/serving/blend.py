"""The best items of a type by the blend of two scores: along the edges, and by the towers."""

from __future__ import annotations

import math
from dataclasses import dataclass

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
    covariance of the item vectors. Scored are the items with the strongest edges, those that the index gives, and
    those whose edges are strong enough to be among the best with the dot product of the index' last one; the index
    is asked for more until none left out can be among the best (the threshold algorithm of Fagin et al. 2001). Where
    few are allowed, all those are scored instead. The list is the exact one where the index gives the nearest items;
    what an approximate one passes over can be missing unless edges lead to it.
    """
    user = _Blend.of(index, vector, edges, towers_weight, allowed)
    num_allowed = int(np.count_nonzero(allowed))
    wanted = _first_wanted(k, num_allowed, index.num_items)
    head, _ = best(user.reached, user.along, 2 * k)
    near, others = np.empty(0, np.int64), user.weight * index.greatest_dot(vector)  # what others have at most
    while True:
        items, scores = user.best(np.union1d(head, near), k)
        able = user.reached if len(items) < k else user.reached[user.along + np.float32(others) >= scores[-1]]
        if len(near) or len(able) <= len(head):
            items, scores = user.best(np.union1d(np.union1d(head, near), able), k)
            if len(items) == k and scores[-1] >= others:
                return items, scores
        if wanted == index.num_items or index.looks_at(wanted) >= num_allowed:
            return user.best(np.flatnonzero(allowed), k)
        near, dots = index.nearest(vector, wanted)
        near, others = near[allowed[near]], user.weight * float(dots[-1])
        wanted = min(4 * wanted, index.num_items)


@dataclass(frozen=True)
class _Blend:
    """One user's scores: of any items, in units of their spreads."""

    index: ItemIndex
    vector: Floats
    weight: float  # of a dot product
    reached: Items  # allowed items with edges, ascending
    along: Floats  # what the edges bring them

    @classmethod
    def of(cls, index: ItemIndex, vector: Floats, edges: EdgeScores, towers_weight: float, allowed: Flags) -> _Blend:
        weight = over_spread(towers_weight, float(index.spreads(vector[None])[0]))
        listed = allowed[edges.items]
        along = edges.values[listed] * np.float32(over_spread(1.0, edges.spread()))
        return cls(index, vector, weight, edges.items[listed], along)

    def best(self, items: Items, k: int) -> tuple[Items, Floats]:
        """The ``k`` best of ``items``, ascending and allowed, best first, with their scores."""
        scores = (np.float32(self.weight) * self.index.dots(self.vector, items)).astype(np.float32)
        if len(self.reached):
            at = np.minimum(np.searchsorted(self.reached, items), len(self.reached) - 1)
            scores += np.where(self.reached[at] == items, self.along[at], np.float32(0))
        return best(items, scores, k)


def over_spread(value: float, spread: float) -> float:
    """``value`` in units of ``spread``; 0 where nothing spreads."""
    return value / spread if spread > 0 else 0.0


def _first_wanted(k: int, num_allowed: int, num_items: int) -> int:
    """Items to ask for at first: those left out may all be nearer, or be spread evenly among the others."""
    at_worst = k + num_items - num_allowed
    if num_allowed == 0:
        return num_items
    return min(at_worst, math.ceil(2 * k * num_items / num_allowed), num_items)
