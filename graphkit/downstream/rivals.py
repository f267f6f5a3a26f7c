"""The rows of the table: whatever can be fitted to a pair task's training examples and then scores pairs."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from graphkit.downstream.pairs import Pairs

Floats = npt.NDArray[np.float32]
Longs = npt.NDArray[np.int64]


class Scorer(Protocol):
    """Higher is better; above 0 it says that the user meets the item."""

    def pairs(self, pairs: Pairs) -> Floats:
        """Scores of pairs: float32 [n]."""
        ...

    def ranking(self, moment: str, users: Longs, items: slice) -> Floats:
        """Scores of all items of a part of the catalogue: float32 [users, items]."""
        ...


class Rival(Protocol):
    """A row of the table in pair tasks."""

    @property
    def name(self) -> str: ...

    @property
    def what(self) -> str: ...

    @property
    def trained(self) -> bool:
        """Whether another seed gives another scorer."""
        ...

    def fit(self, training: Pairs, validation: Pairs, seed: int) -> Scorer:
        """What is learned from examples of users who are not measured."""
        ...
