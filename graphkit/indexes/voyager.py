"""Voyager: a navigable small-world graph (HNSW), read into memory when it is opened."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Final, Self

import numpy as np
from voyager import Index, RecallError, Space

from graphkit.errors import ArtefactError
from graphkit.indexes.base import Floats, Items, Units

#: Links of a vector on each layer (twice as many on the lowest), and the width of the search that chooses them.
_LINKS: Final = 16
_BUILD_EFFORT: Final = 200


class VoyagerGraph:
    """``effort`` is HNSW's ``ef``: how many of the nearest so far are followed up."""

    suffix: ClassVar = ".voy"
    tolerance: ClassVar = 1e-4

    def __init__(self, index: Any) -> None:
        self._index = index

    @classmethod
    def build(cls, path: Path, vectors: Floats, seed: int, **settings: Any) -> None:
        """One build thread: several change the bytes."""
        index = Index(
            Space.Cosine,
            num_dimensions=vectors.shape[1],
            M=_LINKS,
            ef_construction=_BUILD_EFFORT,
            random_seed=seed,
            max_elements=len(vectors),
        )
        index.add_items(vectors, num_threads=1)
        index.save(str(path))

    @classmethod
    def open(cls, path: Path, dim: int) -> Self:
        try:
            index = Index.load(str(path))
        except (RuntimeError, ValueError) as error:
            raise ArtefactError(
                "not a readable Voyager index", where=str(path), found=str(error), fix="run `graphkit export` again"
            ) from None
        if index.num_dimensions != dim:
            raise ArtefactError(
                "the index has another dimension",
                where=str(path),
                expected=str(dim),
                found=str(index.num_dimensions),
                fix="run `graphkit export` again",
            )
        return cls(index)

    def __len__(self) -> int:
        return len(self._index)

    def difference(self, rows: Items, units: Units) -> float:
        stored = np.array([self._index.get_vector(item) for item in rows.tolist()], dtype=np.float32)
        return float(np.abs(stored - units(rows)).max())

    def search(self, query: Floats, n: int, effort: int) -> Items:
        try:
            items, _ = self._index.query(query, k=n, query_ef=max(n, effort))
        except RecallError:  # parts of the graph that no link leads to
            return np.array([], dtype=np.int64)
        return np.asarray(items, dtype=np.int64)

    @staticmethod
    def looks_at(effort: int) -> int:
        return _LINKS * effort
