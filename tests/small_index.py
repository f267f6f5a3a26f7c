"""An index of sixty items that is searched by every kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from graphkit.bundle_format import IndexMeta
from graphkit.config.sections import IndexKind
from graphkit.indexes.item_index import ItemIndex
from graphkit.indexes.store import make_index, open_index

NUM_ITEMS, DIM = 60, 8


def unit_vectors(num_items: int = NUM_ITEMS, dim: int = DIM) -> np.ndarray:
    """Random: float32 [num_items, dim]."""
    vectors = np.random.default_rng(5).normal(size=(num_items, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def describe(
    folder: Path, kind: IndexKind, vectors: np.ndarray, queries: np.ndarray, recall: float = 0.9, seed: int = 0
) -> IndexMeta:
    """Built in ``folder``."""
    return make_index(folder, "x", kind, vectors, queries, recall, trees=10, seed=seed)


def make_small_index(folder: Path, vectors: np.ndarray) -> ItemIndex:
    """Annoy, built and opened; what it finds is all there is to find."""
    about = describe(folder, "annoy", vectors, vectors, recall=1.0)
    return open_index(folder, about, vectors)
