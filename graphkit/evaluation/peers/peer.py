"""The one interface of a peer that has settings to tune."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from typing import ClassVar

from graphkit.evaluation.peers.train_data import TrainData
from graphkit.evaluation.recommender import Recommender

#: The hyperparameters of one fit, by name; JSON holds them as they are.
Setting = Mapping[str, float]


class Peer(ABC):
    """A way to fit a recommender, and the settings worth trying, in order: a budget of n takes the first n."""

    #: The row's name in the table, and in one line what it does.
    name: ClassVar[str]
    what: ClassVar[str]
    settings: ClassVar[tuple[Setting, ...]]

    @abstractmethod
    def fit(self, train: TrainData, setting: Setting, seed: int, threads: int) -> Recommender:
        """Fit on ``train``; the same arguments give the same scores."""

    def path(
        self, train: TrainData, setting: Setting, seed: int, threads: int
    ) -> Iterator[tuple[Setting, Recommender]]:
        """What one fit gives on its way: a recommender per stopping point, with the setting that leads there."""
        yield setting, self.fit(train, setting, seed, threads)

    def left_out(self, train: TrainData) -> str | None:
        """Why the peer cannot be fitted here; None where it can."""
        return None
