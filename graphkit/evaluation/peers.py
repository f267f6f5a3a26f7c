"""Simple peers, and the trained models read back from their vectors: everything that the table compares."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import numpy as np
import polars as pl
from scipy import sparse

from graphkit import schemas
from graphkit.datasets.store import Dataset
from graphkit.evaluation.groups import read_pairs, strong_pairs
from graphkit.evaluation.recommender import Floats, Ints
from graphkit.user_features import History
from graphkit.vectors import Vectors


@dataclass(frozen=True)
class Popularity:
    """The same list for everybody: items by how many users met them through strong train rows."""

    name: str
    num_listeners: dict[str, Floats]  # [num_items] per type

    def scores(self, users: Ints, item_type: str) -> Floats:
        """Listener counts, repeated per user: float32 [n, num_items]."""
        counts = self.num_listeners[item_type]
        return np.broadcast_to(counts, (len(users), len(counts)))


@dataclass(frozen=True)
class MeanOfHistory:
    """A user is the mean of the vectors of the items in their history; items are compared by cosine.

    ``histories`` holds, per type, a sparse 0/1 matrix [num_users, num_items] and ``vectors`` the items'
    vectors [num_items, dim], all types in one space; a zero vector is an item the model knows nothing of.
    """

    name: str
    histories: dict[str, Any]
    vectors: Vectors

    def scores(self, users: Ints, item_type: str) -> Floats:
        """Cosine with the mean of the user's items: float32 [n, num_items]."""
        total = np.zeros((len(users), self.vectors[item_type].shape[1]), dtype=np.float32)
        for history_type, history in self.histories.items():
            total += history[users] @ self.vectors[history_type]
        cosine: Floats = _unit(total) @ _unit(self.vectors[item_type]).T
        return cosine


@dataclass(frozen=True)
class TwoTower:
    """Dot product of the two towers' outputs."""

    name: str
    user_vectors: Floats  # [num_users, dim]
    item_vectors: Vectors  # per target type [num_items, dim]

    def scores(self, users: Ints, item_type: str) -> Floats:
        """Dot products: float32 [n, num_items]."""
        product: Floats = self.user_vectors[users] @ self.item_vectors[item_type].T
        return product


def strong_matrices(dataset: Dataset) -> dict[str, Any]:
    """Who met what through strong train rows: per type a sparse 0/1 float32 [num_users, num_items]."""
    return {
        item_type: _matrix(
            read_pairs(strong_pairs(dataset, schemas.TRAIN, item_type), dataset.meta.num_users),
            dataset.meta.num_items[item_type],
        )
        for item_type in dataset.meta.types
    }


def history_matrices(dataset: Dataset) -> dict[str, Any]:
    """Who met what through any strong or weak train row: per type a sparse 0/1 float32 matrix."""
    rows = dataset.interactions(schemas.TRAIN, (*dataset.meta.strong, *dataset.meta.weak))
    return {
        item_type: _matrix(
            read_pairs(
                rows.filter(pl.col(schemas.ITEM_TYPE) == item_type).select(schemas.USER, schemas.ITEM).unique(),
                dataset.meta.num_users,
            ),
            num_items,
        )
        for item_type, num_items in dataset.meta.num_items.items()
    }


def popularity(likes: dict[str, Any]) -> Popularity:
    """Popularity over all of train, from ``strong_matrices``."""
    counts = {item_type: np.asarray(matrix.sum(axis=0), np.float32).ravel() for item_type, matrix in likes.items()}
    return Popularity("Popularity", counts)


def recent_popularity(dataset: Dataset, days: int) -> Popularity | None:
    """Popularity over the last ``days`` before the cut-off; None without timestamps."""
    if dataset.meta.cutoff is None:
        return None
    recent = pl.col(schemas.TIMESTAMP) >= dataset.meta.cutoff - timedelta(days=days)
    rows = dataset.interactions(schemas.TRAIN, dataset.meta.strong).filter(recent)
    listeners = rows.group_by(schemas.ITEM_TYPE, schemas.ITEM).agg(pl.col(schemas.USER).n_unique()).collect()
    counts = {item_type: np.zeros(n, dtype=np.float32) for item_type, n in dataset.meta.num_items.items()}
    for (item_type,), found in listeners.group_by(schemas.ITEM_TYPE):
        counts[str(item_type)][found[schemas.ITEM].to_numpy()] = found[schemas.USER].to_numpy()
    return Popularity(f"Popularity, {days} days", counts)


def _matrix(pairs: History, num_items: int) -> Any:
    ones = np.ones(len(pairs.items), dtype=np.float32)
    return sparse.csr_array((ones, pairs.items, pairs.indptr), shape=(pairs.num_users, num_items))


def _unit(vectors: Floats) -> Floats:
    """Rows scaled to length 1; zero rows stay zero."""
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Floats = vectors / np.maximum(norm, np.float32(1e-12))
    return unit
