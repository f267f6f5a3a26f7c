"""How much of the exact answer an index finds, and the least effort that finds enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np

from graphkit.indexes.base import Floats
from graphkit.indexes.item_index import TUNED_FOR, ItemIndex

#: Relative to the greatest dot product possible: what is so near the n-th best counts as found (ties have no order).
_TIE_TOLERANCE: Final = 1e-6
#: Dot products held at once.
_BLOCK: Final = 8_000_000
#: The effort is the least there is, to this part of it.
_PRECISION: Final = 10


def halves(queries: Floats) -> tuple[Floats, Floats]:
    """Every other query: those that an index is tuned on, and those that its stated recall is of."""
    return queries[::2], queries[1::2] if len(queries) > 1 else queries


@dataclass(frozen=True)
class Asked:
    """Queries [q, dim] with the least dot product that makes an item one of the best ``n``: float32 [q]."""

    queries: Floats
    n: int
    least: Floats

    @classmethod
    def of(cls, vectors: Floats, queries: Floats, n: int = TUNED_FOR) -> Asked:
        """The exact answers, by brute force; all items count where there are fewer than ``n``."""
        n = min(n, len(vectors))
        rows = max(1, _BLOCK // max(1, len(vectors)))
        blocks = [queries[start : start + rows] @ vectors.T for start in range(0, len(queries), rows)]
        nth = np.concatenate([np.partition(block, -n, axis=1)[:, -n] for block in blocks])
        longest = float(np.linalg.norm(vectors, axis=1).max())
        return cls(queries, n, nth - _TIE_TOLERANCE * longest * np.linalg.norm(queries, axis=1))

    def recall(self, index: ItemIndex) -> float:
        """Mean share of the exact best ``n`` that ``index`` finds."""
        pairs = zip(self.queries, self.least, strict=True)
        found = sum(int(np.count_nonzero(index.nearest(query, self.n)[1] >= least)) for query, least in pairs)
        return found / (self.n * len(self.queries))


def least_effort(index: Callable[[int], ItemIndex], asked: Asked, target: float) -> int:
    """The least effort, to a tenth, whose recall is ``target`` or more; ``index`` makes the index for an effort.

    There is one: from some effort on all items are scored, and the recall is 1. It is no less than the number of
    items to be found.
    """
    low = high = asked.n
    while asked.recall(index(high)) < target and index(high).looks_at(asked.n) < index(high).num_items:
        low, high = high, 2 * high
    while high - low > max(1, high // _PRECISION):
        middle = (low + high) // 2
        if asked.recall(index(middle)) < target:
            low = middle
        else:
            high = middle
    return high
