"""An index of sixty items that is searched exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from graphkit.bundle_format import IndexMeta
from graphkit.serving.index import ItemIndex
from towers.index import build_index

NUM_ITEMS, DIM = 60, 8


def unit_vectors() -> np.ndarray:
    """Random: float32 [NUM_ITEMS, DIM]."""
    vectors = np.random.default_rng(5).normal(size=(NUM_ITEMS, DIM)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def make_index(folder: Path, vectors: np.ndarray) -> ItemIndex:
    """Built and opened."""
    path = folder / "x.ann"
    meta = IndexMeta(file=path.name, dim=DIM, num_items=NUM_ITEMS, trees=5, search_k=100_000)
    build_index(path, vectors, meta, seed=0)
    return ItemIndex(path, meta, vectors)
