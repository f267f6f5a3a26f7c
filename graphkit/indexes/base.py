"""What a kind of approximate index must do; ``ItemIndex`` makes exact dot products of what it finds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Items = npt.NDArray[np.int64]
#: The unit vectors [n, dim] of n items.
Units = Callable[[Items], Floats]


class SearchGraph(Protocol):
    """Trees or a graph over unit vectors, opened from its file, searched by angle.

    ``effort`` is what the library lets a query spend, in its own unit.
    """

    suffix: ClassVar[str]
    #: What ``difference`` may be for the vectors that were indexed.
    tolerance: ClassVar[float]

    @classmethod
    def build(cls, path: Path, vectors: Floats, seed: int, **settings: Any) -> None:
        """Write the index of unit ``vectors`` [n, dim], n > 0: the same bytes for the same seed."""

    @classmethod
    def open(cls, path: Path, dim: int) -> Self:
        """Open a file read-only; raises ArtefactError where the library can tell that it is none of its own."""

    def __len__(self) -> int: ...

    def difference(self, rows: Items, units: Units) -> float:
        """How far what was indexed for some ``rows`` is from the unit vectors that it should be."""

    def search(self, query: Floats, n: int, effort: int) -> Items:
        """Items of small angles to ``query``, which is not zero, about the ``n`` smallest among them.

        Fewer where it finds fewer.
        """

    @staticmethod
    def looks_at(effort: int) -> int:
        """About how many vectors a search compares the query with."""
