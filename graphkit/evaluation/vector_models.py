"""Recommenders that are vectors alone: a dot product of user and item, and the mean of a user's history."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from graphkit.evaluation.recommender import Floats, Ints
from graphkit.vectors import Vectors


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
class DotProduct:
    """A vector per user and item, compared by their dot product: two towers' outputs, or a matrix's factors."""

    name: str
    user_vectors: Floats  # [num_users, dim]
    item_vectors: Vectors  # per target type [num_items, dim]

    def scores(self, users: Ints, item_type: str) -> Floats:
        """Dot products: float32 [n, num_items]."""
        product: Floats = self.user_vectors[users] @ self.item_vectors[item_type].T
        return product


def _unit(vectors: Floats) -> Floats:
    """Rows scaled to length 1; zero rows stay zero."""
    norm = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: Floats = vectors / np.maximum(norm, np.float32(1e-12))
    return unit
