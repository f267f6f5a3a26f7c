"""The one interface a model needs to be in the table."""

from __future__ import annotations

from typing import Protocol

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.integer]
Floats = npt.NDArray[np.float32]


class Recommender(Protocol):
    """A fitted model: it scores every item of a type for some users, higher is better."""

    @property
    def name(self) -> str:
        """The row's name in the table."""
        ...

    def scores(self, users: Ints, item_type: str) -> Floats:
        """Finite scores of ``users`` [n] for the whole catalogue of ``item_type``: float32 [n, num_items]."""
        ...
