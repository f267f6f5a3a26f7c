"""The best items of a type by the blend of two scores: along the edges, and by the towers."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from graphkit.indexes.item_index import ItemIndex
from graphkit.serving.edges import EdgeScores, over_spread

Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]
Items = npt.NDArray[np.int64]


def blended_top(
    index: ItemIndex, vector: Floats, along: EdgeScores, towers_weight: float, k: int, allowed: Flags
) -> tuple[Items, Floats]:
    """The ``k`` best ``allowed`` items [num_items], best first, by ``along`` + ``towers_weight`` * dot / std.

    ``vector`` [dim] is the user's, ``along`` what edges bring, in spreads, and what is popular; equal scores come by
    row. The spread of the dot products is over the whole type: it follows from the covariance of the item vectors.
    Scored are the items that the index gives, those with the greatest part in ``along``, and those whose part is
    great enough to be among the best with the dot product of the index' last one; the index is asked for more until
    none left out can be among the best (the threshold algorithm of Fagin et al. 2001). Where few are allowed, all
    those are scored instead. The list is the exact one where the index gives the nearest items; what an approximate
    one passes over can be missing unless it has a part in ``along``.
    """
    user = _Blend.of(index, vector, along, towers_weight, allowed)
    num_allowed = int(np.count_nonzero(allowed))
    wanted = _first_wanted(k, num_allowed, index.num_items)
    while wanted < index.num_items and index.looks_at(wanted) < num_allowed:
        near, dots = index.nearest(vector, wanted)
        shown, others = allowed[near], user.weight * float(dots[-1])
        items, scores = user.best(near[shown], dots[shown], others, k)
        if len(items) == k and scores[-1] >= others:
            return items, scores
        wanted = min(4 * wanted, index.num_items)
    every = np.flatnonzero(allowed)
    return user.best(every, index.dots(vector, every), 0.0, k)


@dataclass(frozen=True)
class _Blend:
    """One user's scores: of any items, in units of their spreads."""

    index: ItemIndex
    vector: Floats
    weight: float  # of a dot product
    reached: Items  # allowed items with edges or popular, ascending
    along: Floats  # what that brings them

    @classmethod
    def of(cls, index: ItemIndex, vector: Floats, along: EdgeScores, towers_weight: float, allowed: Flags) -> _Blend:
        weight = over_spread(towers_weight, float(index.spreads(vector[None])[0]))
        listed = allowed[along.items]
        return cls(index, vector, weight, along.items[listed], along.values[listed])

    def best(self, near: Items, dots: Floats, others: float, k: int) -> tuple[Items, Floats]:
        """The ``k`` best, best first, with their scores: of the items ``near``, whose dot products are ``dots``, and
        of the reached ones, where the towers bring those that are not near ``others`` at most."""
        scores = np.float32(self.weight) * dots
        place = np.searchsorted(self.reached, near)
        both = np.append(self.reached, -1)[place] == near
        scores[both] += self.along[place[both]]
        left = np.ones(len(self.reached), dtype=bool)
        left[place[both]] = False
        items = near
        able = left & (self.along + np.float32(others) >= _nth_greatest(scores, k))
        if np.count_nonzero(able) > 2 * k:  # with the strongest scored, fewer of the others are
            strongest = left & (self.along >= _nth_greatest(self.along, 2 * k))
            items, scores = self._with(items, scores, strongest)
            able &= ~strongest & (self.along + np.float32(others) >= _nth_greatest(scores, k))
        items, scores = self._with(items, scores, able)
        few = np.flatnonzero(scores >= _nth_greatest(scores, k))
        order = few[np.lexsort((items[few], -scores[few]))][:k]
        return items[order], scores[order]

    def _with(self, items: Items, scores: Floats, more: Flags) -> tuple[Items, Floats]:
        """``items`` and ``scores``, and those of ``more`` [len(self.reached)] of the reached ones."""
        added = self.reached[more]
        theirs = np.float32(self.weight) * self.index.dots(self.vector, added) + self.along[more]
        return np.concatenate([items, added]), np.concatenate([scores, theirs])


def _nth_greatest(values: Floats, n: int) -> float:
    """The n-th greatest of the values, -inf where there are fewer."""
    return float(np.partition(values, -n)[-n]) if len(values) >= n else -np.inf


def _first_wanted(k: int, num_allowed: int, num_items: int) -> int:
    """Items to ask for at first: those left out may all be nearer, or be spread evenly among the others."""
    at_worst = k + num_items - num_allowed
    if num_allowed == 0:
        return num_items
    return min(at_worst, math.ceil(2 * k * num_items / num_allowed), num_items)
