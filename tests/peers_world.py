"""A small world of two tastes, for the tests of the simple peers: who likes what is known beforehand."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import sparse

from graphkit.config import load_config
from graphkit.evaluation.peers.peer import Peer
from graphkit.evaluation.peers.registry import every_peer
from graphkit.evaluation.peers.train_data import TrainData

SIZES = {"book": 25, "song": 31}
NUM_USERS = 151
#: Users who know books only; the last user knows nothing, and the last item of each type nobody.
COLD = range(0, 150, 5)


class Tastes(NamedTuple):
    """``train``, and per type which taste each item is of ([num_items], -1 for the last one)."""

    train: TrainData
    item_taste: dict[str, np.ndarray]
    user_taste: np.ndarray


def two_tastes(seed: int = 0) -> Tastes:
    """Users of either taste like most items of their own and one in fifty of the others."""
    rng = np.random.default_rng(seed)
    user_taste = np.arange(NUM_USERS) % 2
    likes, ages, item_taste = {}, {}, {}
    for item_type, count in SIZES.items():
        taste = np.arange(count) % 2
        chance = np.where(user_taste[:, None] == taste[None, :], 0.6, 0.02)
        matrix = (rng.random((NUM_USERS, count)) < chance).astype(np.float32)
        matrix[-1], matrix[:, -1], taste[-1] = 0, 0, -1
        if item_type == "song":
            matrix[COLD] = 0
        likes[item_type], item_taste[item_type] = sparse.csr_array(matrix), taste
        ages[item_type] = rng.integers(0, 200 * 86_400_000, likes[item_type].nnz)
    genres = {name: sparse.csr_array(np.eye(3, dtype=np.float32)[taste % 3]) for name, taste in item_taste.items()}
    return Tastes(TrainData(likes, tuple(SIZES), ages, genres), item_taste, user_taste)


def permuted(train: TrainData, orders: dict[str, np.ndarray]) -> TrainData:
    """The same likes with item ``orders[type][k]`` in place ``k``."""
    likes, ages = {}, {}
    for name, matrix in train.likes.items():
        assert train.ages_ms is not None
        met = sparse.csr_array((train.ages_ms[name] + 1, matrix.indices, matrix.indptr), shape=matrix.shape)
        moved = met[:, orders[name]].tocsr()
        moved.sort_indices()
        ages[name] = moved.data - 1
        ones = np.ones(moved.nnz, np.float32)
        likes[name] = sparse.csr_array((ones, moved.indices, moved.indptr), shape=moved.shape)
    genres = {name: matrix[orders[name]] for name, matrix in train.genres.items()}
    return TrainData(likes, train.targets, ages, genres)


def small_peers() -> dict[str, Peer]:
    """Every peer, with as many epochs as this world takes."""
    config = load_config("default", ["peers.lightgcn_epochs=9", "peers.hybrid_epochs=15"])
    return every_peer(config.peers)
