"""Co-listening counts: how many users share two items, one block of destination items at a time.

A block is a pure function of two sparse matrices, so memory is bounded by the block, whatever the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.sparse import csr_array

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Listeners:
    """Which users have which items of one type, each pair once."""

    by_user: csr_array  # int32 [num_users, num_items], entries 1
    by_item: csr_array  # int32 [num_items, num_users], entries 1

    @classmethod
    def of(cls, users: npt.NDArray[np.integer], items: npt.NDArray[np.integer], shape: tuple[int, int]) -> Listeners:
        """From distinct (user, item) pairs; ``shape`` is (number of users, number of items)."""
        by_user = csr_array((np.ones(len(users), np.int32), (users, items)), shape=shape)
        return cls(by_user, csr_array(by_user.T))

    @property
    def count(self) -> Ints:
        """Users per item, int64 [num_items]."""
        indptr: Ints = self.by_item.indptr.astype(np.int64)
        return np.diff(indptr)


@dataclass(frozen=True)
class DirectedPairs:
    """In-edges of a run of destination items; all arrays are [num_pairs]."""

    src: Ints
    dst: Ints
    support: Ints  # users who have both

    def where(self, keep: npt.NDArray[np.bool_]) -> DirectedPairs:
        return DirectedPairs(self.src[keep], self.dst[keep], self.support[keep])


def block_bounds(src: Listeners, dst: Listeners, max_pairs: int, max_rows: int) -> list[tuple[int, int]]:
    """Runs ``[start, stop)`` of destination items that count at most ``max_pairs`` user pairs each.

    A single item above the bound is a block of its own.
    """
    pairs_per_user = np.diff(src.by_user.indptr).astype(np.int64)
    cost = dst.by_item @ pairs_per_user  # [num_dst]
    total = np.concatenate([[0], np.cumsum(cost, dtype=np.int64)])
    bounds, start = [], 0
    while start < len(cost):
        within = int(np.searchsorted(total, total[start] + max_pairs, side="right")) - 1
        stop = min(max(within, start + 1), start + max_rows, len(cost))
        bounds.append((start, stop))
        start = stop
    return bounds


def count_block(
    src: Listeners, dst: Listeners, bounds: tuple[int, int], min_support: int, same_type: bool
) -> DirectedPairs:
    """All pairs with a destination in ``bounds`` that at least ``min_support`` users have, by destination.

    Paper 4.1.1: an edge wherever at least one user streamed both. An item is never joined to itself.
    """
    start, stop = bounds
    counts = dst.by_item[start:stop] @ src.by_user  # [stop - start, num_src]
    rows = np.repeat(np.arange(start, stop, dtype=np.int64), np.diff(counts.indptr))
    found = DirectedPairs(counts.indices.astype(np.int64), rows, counts.data.astype(np.int64))
    keep = found.support >= min_support
    return found.where(keep & (found.src != found.dst) if same_type else keep)
