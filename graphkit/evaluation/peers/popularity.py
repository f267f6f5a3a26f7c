"""The same list for everybody: what most users met, in all of train or in its last days."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

import numpy as np

from graphkit.datasets.store import Dataset
from graphkit.evaluation.groups import final_parts
from graphkit.evaluation.peers.peer import Peer, Setting
from graphkit.evaluation.peers.train_data import TrainData, read_train
from graphkit.evaluation.recommender import Floats, Ints


@dataclass(frozen=True)
class Popularity:
    """The same list for everybody: items by how many users met them through strong train rows."""

    name: str
    num_listeners: dict[str, Floats]  # [num_items] per type

    def scores(self, users: Ints, item_type: str) -> Floats:
        """Listener counts, repeated per user: float32 [n, num_items]."""
        counts = self.num_listeners[item_type]
        return np.broadcast_to(counts, (len(users), len(counts)))


class PopularityPeer(Peer):
    """Popularity over all of train; it has nothing to tune."""

    name: ClassVar = "Popularity"
    what: ClassVar = "how many users have the item in train, by a strong signal"
    settings: ClassVar[tuple[Setting, ...]] = ({},)

    def fit(self, train: TrainData, setting: Setting, seed: int, threads: int) -> Popularity:
        return popularity(train.likes)


class RecentPopularityPeer(Peer):
    """Popularity over the last days of train: what is liked now, where tastes move."""

    name: ClassVar = "Recent popularity"
    what: ClassVar = "how many users met the item by a strong signal in the last days of train"
    settings: ClassVar[tuple[Setting, ...]] = tuple({"days": days} for days in (90, 30, 14, 7, 180, 365))

    def fit(self, train: TrainData, setting: Setting, seed: int, threads: int) -> Popularity:
        return Popularity(self.name, _recent(train, setting["days"]))

    def left_out(self, train: TrainData) -> str | None:
        return None if train.ages_ms else "the data have no timestamps"


def popularity(likes: dict[str, Any]) -> Popularity:
    """Popularity over all of train, from ``TrainData.likes``."""
    counts = {item_type: np.asarray(matrix.sum(axis=0), np.float32).ravel() for item_type, matrix in likes.items()}
    return Popularity("Popularity", counts)


def recent_popularity(dataset: Dataset, days: int) -> Popularity | None:
    """Popularity over the last ``days`` before the cut-off; None without timestamps."""
    if dataset.meta.cutoff is None:
        return None
    return Popularity(f"Popularity, {days} days", _recent(read_train(dataset, final_parts(dataset)), days))


def _recent(train: TrainData, days: float) -> dict[str, Floats]:
    """Users who met each item in the last ``days`` of train: float32 [num_items] per type."""
    assert train.ages_ms is not None  # narrows for mypy: a peer without timestamps is left out
    longest = timedelta(days=days) // timedelta(milliseconds=1)
    counts = {}
    for item_type, likes in train.likes.items():
        recent = likes.indices[train.ages_ms[item_type] <= longest]
        counts[item_type] = np.bincount(recent, minlength=likes.shape[1]).astype(np.float32)
    return counts
