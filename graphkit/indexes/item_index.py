"""The index of one item type as serving asks it: the nearest items, with exact dot products."""

from __future__ import annotations

from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt

from graphkit.indexes.base import Floats, Items, SearchGraph
from graphkit.indexes.exact import best, nearest_exact
from graphkit.indexes.lengths import as_query

#: Length of the list that ``effort`` was tuned for; longer ones take more, in proportion.
TUNED_FOR: Final = 100
#: How many times as long the dot product of an item takes where its vector is copied first.
_MOST: Final = 4
#: Item vectors held at once as float64.
_ROWS: Final = 65_536


class ItemIndex:
    """Item vectors [num_items, dim] and what searches them: nothing, if ``graph`` is None, which is exact.

    ``longest`` is what ``greatest_length`` gave when the graph was built.
    """

    def __init__(
        self, vectors: Floats, graph: SearchGraph | None = None, effort: int = 0, longest: float | None = None
    ) -> None:
        self._vectors, self._graph, self._effort, self._longest = vectors, graph, effort, longest

    @property
    def num_items(self) -> int:
        return len(self._vectors)

    def looks_at(self, n: int) -> int:
        """About how many item vectors ``nearest`` compares a query with, to give ``n`` items."""
        searched = self.num_items if self._graph is None else self._graph.looks_at(self._effort_for(n))
        return min(searched, self.num_items)

    def nearest(self, query: Floats, n: int) -> tuple[Items, Floats]:
        """``n`` items (all, if there are fewer) with their dot products, best first.

        A search that finds too few is repeated with twice the effort. All items are scored where it would look at as
        many, or has no direction to go in.
        """
        if self._graph is not None and query.any():
            effort = self._effort_for(n)
            while self._graph.looks_at(effort) < self.num_items:
                items = self._graph.search(as_query(query, self._longest), n, effort)
                if len(items) >= n:
                    return best(items, self.dots(query, items), n)
                effort *= 2
        return nearest_exact(self._vectors, query, n)

    def dots(self, query: Floats, items: Items) -> Floats:
        """The dot products of some items: float32 [n]."""
        # Of most items: copying their vectors would take longer than the products of all.
        most = _MOST * len(items) > self.num_items
        dots: Floats = (self._vectors @ query)[items] if most else self._vectors[items] @ query
        return dots

    def spreads(self, queries: Floats) -> Floats:
        """Of each query [n, dim] the standard deviation of the dot products of all items: float32 [n]."""
        variance = ((queries @ self._covariance) * queries).sum(axis=1)
        spreads: Floats = np.sqrt(np.maximum(variance, 0)).astype(np.float32)
        return spreads

    def _effort_for(self, n: int) -> int:
        return max(self._effort, self._effort * n // TUNED_FOR)

    @cached_property
    def _covariance(self) -> npt.NDArray[np.float64]:
        """Of the item vectors, as a population: float64 [dim, dim]."""
        total, products = np.zeros(self._vectors.shape[1]), np.zeros((self._vectors.shape[1],) * 2)
        for start in range(0, len(self._vectors), _ROWS):
            rows = self._vectors[start : start + _ROWS].astype(np.float64)
            total += rows.sum(axis=0)
            products += rows.T @ rows
        mean = total / max(len(self._vectors), 1)
        covariance: npt.NDArray[np.float64] = products / max(len(self._vectors), 1) - np.outer(mean, mean)
        return covariance
