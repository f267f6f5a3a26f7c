"""Nearest neighbours of a query among the items of one type."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from annoy import AnnoyIndex

from graphkit.bundle_format import IndexMeta
from graphkit.errors import ArtefactError

Floats = npt.NDArray[np.float32]
Items = npt.NDArray[np.int64]

#: Item vectors held at once as float64.
_ROWS: Final = 65_536


class ItemIndex:
    """A bundle's Annoy index (memory-mapped) with the vectors it was built from.

    Dimension, metric and search_k come from ``meta``: Annoy checks none of them on loading.
    """

    def __init__(self, path: Path, meta: IndexMeta, vectors: Floats) -> None:
        self._annoy: Any = AnnoyIndex(meta.dim, meta.metric)
        self._annoy.load(str(path))
        self._vectors, self._search_k = vectors, meta.search_k
        if vectors.shape != (meta.num_items, meta.dim) or self._annoy.get_n_items() != meta.num_items:
            raise ArtefactError(
                "the index does not belong to the item vectors",
                where=str(path),
                expected=f"{meta.num_items} items of dimension {meta.dim}",
                found=f"{self._annoy.get_n_items()} in the index, vectors {vectors.shape}",
                fix="run `graphkit export` again",
            )

    def nearest(self, query: Floats, n: int) -> tuple[Items, Floats]:
        """``n`` items, best first, with their dot products; where the index gives fewer, all are scored."""
        found = self._annoy.get_nns_by_vector(query, n, max(n, self._search_k))
        items = np.array(found, dtype=np.int64) if len(found) == n else np.arange(len(self._vectors))
        scores = self.dots(query, items)
        order = np.argsort(-scores, kind="stable")[:n]
        return items[order], scores[order]

    def dots(self, query: Floats, items: Items) -> Floats:
        """The dot products of some items: float32 [n]."""
        dots: Floats = self._vectors[items] @ query
        return dots

    def spreads(self, queries: Floats) -> Floats:
        """Of each query [n, dim] the standard deviation of the dot products of all items: float32 [n]."""
        variance = np.einsum("nd,de,ne->n", queries, self._covariance, queries, optimize=True)
        spreads: Floats = np.sqrt(np.maximum(variance, 0)).astype(np.float32)
        return spreads

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
