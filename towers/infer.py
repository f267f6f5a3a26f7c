"""User and item vectors from trained towers, in blocks of bounded memory."""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from graphkit.user_features import Floats, UserFeatures, UserInputs
from towers.backend import to_numpy
from towers.item_features import ItemFeatures

_BLOCK: Final = 4096


def user_vectors(tower: Any, features: UserFeatures, num_users: int) -> Floats:
    """The vectors of users 0..num_users-1: float32 [num_users, out_dim]."""
    blocks = (np.arange(start, min(start + _BLOCK, num_users)) for start in range(0, num_users, _BLOCK))
    return np.concatenate([embed_users(tower, features.inputs(block)) for block in blocks])


def embed_users(tower: Any, inputs: UserInputs) -> Floats:
    """The vectors of users whose inputs are at hand: float32 [n, out_dim]."""
    return _call(tower, inputs._asdict())


def item_vectors(tower: Any, items: ItemFeatures) -> Floats:
    """The vectors of a type's whole catalogue: float32 [num_items, out_dim]."""
    starts = range(0, items.num_items, _BLOCK)
    blocks = (np.arange(start, min(start + _BLOCK, items.num_items)) for start in starts)
    return np.concatenate([_call(tower, items.inputs(block)._asdict()) for block in blocks])


def _call(tower: Any, inputs: dict[str, Any]) -> Floats:
    vectors: Floats = to_numpy(tower(inputs, training=False))
    return vectors
