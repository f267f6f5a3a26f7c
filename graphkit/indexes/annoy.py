"""Annoy: a forest of random splits, memory-mapped, so that processes share its pages."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
from annoy import AnnoyIndex

from graphkit.errors import ArtefactError
from graphkit.indexes.base import Floats, Items, Units


class AnnoyForest:
    """``effort`` is Annoy's ``search_k``: the candidates that are taken out of the trees."""

    suffix: ClassVar = ".ann"
    tolerance: ClassVar = 1e-4

    def __init__(self, index: Any) -> None:
        self._index = index

    @classmethod
    def build(cls, path: Path, vectors: Floats, seed: int, **settings: Any) -> None:
        """``trees``: more of them find more for the same effort. One build thread: several change the bytes."""
        index = AnnoyIndex(vectors.shape[1], "angular")
        index.set_seed(seed)
        for item, vector in enumerate(vectors):
            index.add_item(item, vector)
        index.build(settings["trees"], n_jobs=1)
        index.save(str(path))

    @classmethod
    def open(cls, path: Path, dim: int) -> Self:
        node_bytes = 12 + 4 * dim  # Annoy itself checks neither dimension nor content
        size = path.stat().st_size
        if size == 0 or size % node_bytes:
            raise ArtefactError(
                "not an Annoy index of this dimension",
                where=str(path),
                expected=f"nodes of {node_bytes} bytes (dimension {dim})",
                found=f"{size} bytes",
                fix="run `graphkit export` again",
            )
        index = AnnoyIndex(dim, "angular")
        index.load(str(path))
        return cls(index)

    def __len__(self) -> int:
        return max(0, int(self._index.get_n_items()))  # noise can be read as a number below 0

    def difference(self, rows: Items, units: Units) -> float:
        stored = np.array([self._index.get_item_vector(item) for item in rows.tolist()], dtype=np.float32)
        return float(np.abs(stored - units(rows)).max())

    def search(self, query: Floats, n: int, effort: int) -> Items:
        return np.array(self._index.get_nns_by_vector(query, n, effort), dtype=np.int64)

    @staticmethod
    def looks_at(effort: int) -> int:
        return effort
