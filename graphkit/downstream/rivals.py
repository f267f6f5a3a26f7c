"""The rows of the table: whatever can be fitted to a pair task's training examples and then scores pairs."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

from graphkit.downstream.pairs import Pairs
from graphkit.downstream.representations import Representation
from graphkit.downstream.world import World

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
    """A row of the table: it takes part in pair tasks, and in others as far as it can.

    A kind that subclasses this cannot do what it says nothing of: there it is None.
    """

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

    @property
    def vectors(self) -> Representation | None:
        """The frozen user vectors, for tasks that look at nothing else."""
        return None

    def of_new_users(self) -> Rival | None:
        """The same row with new users as of their own moments (``new_users``)."""
        return None

    def over(self, world: World) -> Rival | None:
        """The same row over the catalogue of another world."""
        return None
