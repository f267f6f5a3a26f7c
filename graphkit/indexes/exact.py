"""All items scored: matrix products of blocks, and the best of each block kept."""

from __future__ import annotations

from typing import Final

import numpy as np

from graphkit.indexes.base import Floats, Items

#: Item vectors whose dot products are held at once, for each query.
_ROWS: Final = 65_536


def nearest_exact(vectors: Floats, query: Floats, n: int) -> tuple[Items, Floats]:
    """The ``n`` (all, if there are fewer) of ``vectors`` [num_items, dim] with the greatest dot products.

    Best first, with the dot products float32; equal ones by row.
    """
    items, dots = np.empty(0, np.int64), np.empty(0, np.float32)
    for start in range(0, len(vectors), _ROWS):
        block = vectors[start : start + _ROWS] @ query
        # An item of this block must beat the n-th best so far.
        rows = np.arange(len(block)) if len(items) < n else np.flatnonzero(block > dots[-1])
        items, dots = best(np.concatenate([items, start + rows]), np.concatenate([dots, block[rows]]), n)
    return items, dots


def best(items: Items, dots: Floats, n: int) -> tuple[Items, Floats]:
    """The ``n`` with the greatest dot products, best first; equal ones in the order given."""
    if len(items) > 4 * n > 0:  # a sort of all would take longer than finding the n-th first
        few = np.flatnonzero(dots >= np.partition(dots, -n)[-n])
        items, dots = items[few], dots[few]
    order = np.argsort(-dots, kind="stable")[:n]
    return items[order], dots[order]
