"""FAISS: inverted lists of short codes, scanned in registers, read into memory when they are opened.

Each unit vector is kept as the nearest of about sqrt(num_items) centres and the difference to it, product-quantised
to 4 bits a dimension (Jégou et al. 2011, "Product quantization for nearest neighbor search"; André et
al. 2017, "Accelerated nearest neighbor search with Quick ADC"). That ranks roughly: the exact dot products that
``ItemIndex`` makes of the candidates decide.
"""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import faiss
import numpy as np

from graphkit.errors import ArtefactError
from graphkit.indexes.base import Floats, Items, Units

#: Values that each dimension has in the codes.
_CODES: Final = 16
#: Items that are found beside one whose vector is checked.
_PROBED: Final = 10
#: Codes that are scanned for each candidate that is kept: by measurement, among 50,000 to 250,000 items.
_SCANNED: Final = 192


class FaissLists:
    """``effort`` is how many candidates are kept of ``_SCANNED`` times as many codes, those of the nearest lists."""

    suffix: ClassVar = ".faiss"
    #: Codes give cosines to about a tenth.
    tolerance: ClassVar = 0.3

    def __init__(self, index: Any) -> None:
        self._index = index

    @classmethod
    def build(cls, path: Path, vectors: Floats, seed: int, **settings: Any) -> None:
        """One thread: several change the bytes."""
        faiss.omp_set_num_threads(1)
        num_items, dim = vectors.shape
        lists = num_lists(num_items)
        index = faiss.index_factory(dim, f"IVF{lists},PQ{dim}x4fsr", faiss.METRIC_INNER_PRODUCT)
        for clustering in (index.cp, index.pq.cp):
            clustering.seed, clustering.min_points_per_centroid = seed, 1
        rows = np.resize(np.arange(num_items), max(num_items, _CODES))  # as many as there are codes, at the least
        index.train(vectors[rows])
        index.add(vectors)
        faiss.write_index(index, str(path))

    @classmethod
    def open(cls, path: Path, dim: int) -> Self:
        try:
            with path.open("rb") as file:
                index = faiss.read_index(faiss.PyCallbackIOReader(file.read))
                rest = file.read()
        except RuntimeError as error:
            raise ArtefactError(
                "not a readable FAISS index",
                where=str(path),
                found=str(error).splitlines()[0],
                fix="run `graphkit export` again",
            ) from None
        if not isinstance(index, faiss.IndexIVFPQFastScan) or index.d != dim or rest:
            raise ArtefactError(
                "not the FAISS index of these vectors",
                where=str(path),
                expected=f"an IndexIVFPQFastScan of dimension {dim}, and nothing more",
                found=f"{type(index).__name__} of dimension {index.d}, and {len(rest)} bytes",
                fix="run `graphkit export` again",
            )
        return cls(index)

    def __len__(self) -> int:
        return int(self._index.ntotal)

    def difference(self, rows: Items, units: Units) -> float:
        """By what the index takes for the cosines of the items that it finds beside those in the rows."""
        differences = [0.0]
        for query in units(rows):
            cosines, items = self._search(query, min(_PROBED, len(self)))
            differences.append(float(np.abs(units(items) @ query - cosines).max(initial=0)))
        return max(differences)

    def search(self, query: Floats, n: int, effort: int) -> Items:
        return self._search(query, min(max(n, effort), len(self)))[1]

    @staticmethod
    def looks_at(effort: int) -> int:
        return effort

    def _search(self, query: Floats, kept: int) -> tuple[Floats, Items]:
        """About the cosines of the items that look nearest, best first, and those items."""
        faiss.omp_set_num_threads(1)  # of the calling thread: one query is too little work to share out
        cosines, items = self._index.search(query[None], kept, params=_probing(lists_for(kept, len(self))))
        found = items[0] >= 0
        return cosines[0][found], items[0][found]


@lru_cache
def _probing(lists: int) -> Any:
    return faiss.SearchParametersIVF(nprobe=lists)


def num_lists(num_items: int) -> int:
    """How many lists the items are kept in."""
    return max(1, round(math.sqrt(num_items)))


def lists_for(kept: int, num_items: int) -> int:
    """How many lists a search looks through (``nprobe``) to keep so many candidates."""
    lists = num_lists(num_items)
    return min(lists, math.ceil(kept * _SCANNED * lists / num_items))
