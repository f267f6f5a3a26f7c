"""What a kind of approximate index must do; ``ItemIndex`` makes exact dot products of what it finds."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Protocol, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Items = npt.NDArray[np.int64]


class SearchGraph(Protocol):
    """Trees or a graph over unit vectors, opened from its file, searched by angle.

    ``effort`` is what the library lets a query spend, in its own unit.
    """

    suffix: ClassVar[str]

    @classmethod
    def build(cls, path: Path, vectors: Floats, seed: int, **settings: Any) -> None:
        """Write the index of unit ``vectors`` [n, dim], n > 0: the same bytes for the same seed."""

    @classmethod
    def open(cls, path: Path, dim: int) -> Self:
        """Open a file read-only; raises ArtefactError where the library can tell that it is none of its own."""

    def __len__(self) -> int: ...

    def vector(self, item: int) -> Floats:
        """The unit vector that was indexed as ``item``."""

    def search(self, query: Floats, n: int, effort: int) -> Items:
        """About the ``n`` items of the smallest angle to ``query``, which is not zero; fewer where it finds fewer."""

    @staticmethod
    def looks_at(effort: int) -> int:
        """About how many vectors a search compares the query with."""
