"""Nearest neighbours of a query among the items of one type."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from annoy import AnnoyIndex

from graphkit.bundle_format import IndexMeta
from graphkit.errors import ArtefactError

Floats = npt.NDArray[np.float32]
Items = npt.NDArray[np.int64]


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

    def top(self, query: Floats, k: int, hidden: Items, search_k: int | None = None) -> tuple[Items, Floats]:
        """The ``k`` best items that are not ``hidden``, best first, with their dot products.

        It fetches as many more as are hidden; where the index gives fewer than ``k``, all items are scored.
        """
        num_items = len(self._vectors)
        wanted = min(k, num_items - len(hidden))
        found = self._annoy.get_nns_by_vector(query, min(k + len(hidden), num_items), search_k or self._search_k)
        items = np.setdiff1d(np.array(found, dtype=np.int64), hidden)
        if len(items) < wanted:
            items = np.setdiff1d(np.arange(num_items), hidden)
        scores = self._vectors[items] @ query
        order = np.argsort(-scores, kind="stable")[:k]
        return items[order], scores[order]
