"""Who has what, as a sparse matrix in both orders: the input of every count.

A row is a user (or a playlist), a column an item of one type, each pair stands once. With a gap limit a row is
a user's time-ordered events instead, and a pair may stand several times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from graphkit.compiled import compiled

Longs = npt.NDArray[np.int64]
Ints = npt.NDArray[np.int32]
Floats = npt.NDArray[np.float32]


class Lists(NamedTuple):
    """Compressed lists: what belongs to ``k`` stands at ``indptr[k]:indptr[k + 1]`` of the other arrays.

    ``weight`` is empty where every pair weighs one, ``time`` where there is no gap limit.
    """

    indptr: Longs  # [num_lists + 1]
    ids: Ints  # [num_pairs]
    weight: Floats  # [num_pairs] or [0]
    time: Longs  # [num_pairs] or [0], milliseconds


@dataclass(frozen=True)
class Incidence:
    """The pairs of one item type, by owner (items ascending, or by time) and by item (owners ascending)."""

    by_owner: Lists
    by_item: Lists
    #: Distinct owners of each item: int64 [num_items].
    count: Longs
    #: Squared norm of each item's column, the sum of its squared weights: float64 [num_items].
    mass: npt.NDArray[np.float64]

    @property
    def num_items(self) -> int:
        return len(self.by_item.indptr) - 1

    @property
    def num_owners(self) -> int:
        return len(self.by_owner.indptr) - 1

    @property
    def nbytes(self) -> int:
        arrays: list[npt.NDArray[Any]] = [*self.by_owner, *self.by_item, self.count, self.mass]
        return sum(array.nbytes for array in arrays)


def incidence(
    owners: npt.NDArray[np.integer[Any]],
    items: npt.NDArray[np.integer[Any]],
    shape: tuple[int, int],
    weight: Floats | None = None,
    time: Longs | None = None,
) -> Incidence:
    """From pairs sorted by owner, then item (with ``time``: then time); ``shape`` is (owners, items)."""
    num_owners, num_items = shape
    by_owner = Lists(
        offsets(np.bincount(owners, minlength=num_owners)),
        items.astype(np.int32, copy=False),
        np.zeros(0, np.float32) if weight is None else weight,
        np.zeros(0, np.int64) if time is None else time,
    )
    starts, rows, order = turned(by_owner.indptr, by_owner.ids, num_items)
    weights = by_owner.weight[order] if len(by_owner.weight) else by_owner.weight
    times = by_owner.time[order] if len(by_owner.time) else by_owner.time
    by_item = Lists(starts, rows, weights, times)
    return Incidence(by_owner, by_item, *_item_sums(by_item))


def offsets(lengths: npt.NDArray[np.integer[Any] | np.bool_]) -> Longs:
    """Where each list starts, and the end of the last."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])


def _item_sums(by_item: Lists) -> tuple[Longs, npt.NDArray[np.float64]]:
    lengths = np.diff(by_item.indptr)
    if not len(by_item.weight) and not len(by_item.time):
        return lengths, lengths.astype(np.float64)
    distinct = first_of_list(by_item.indptr, by_item.ids)
    item = np.repeat(np.arange(len(lengths)), lengths)[distinct]
    count = np.bincount(item, minlength=len(lengths)).astype(np.int64)
    if not len(by_item.weight):
        return count, count.astype(np.float64)
    squares = by_item.weight[distinct].astype(np.float64) ** 2
    return count, np.bincount(item, squares, minlength=len(lengths)).astype(np.float64)


@compiled
def turned(indptr: Longs, index: Ints, num_columns: int) -> tuple[Longs, Ints, Longs]:
    """The transposed lists, and where each of their entries stood: a counting sort, so rows come out ascending."""
    starts = np.zeros(num_columns + 1, np.int64)
    for column in index:
        starts[column + 1] += 1
    for column in range(num_columns):
        starts[column + 1] += starts[column]
    free = starts[:-1].copy()
    rows, order = np.empty(len(index), np.int32), np.empty(len(index), np.int64)
    for row in range(len(indptr) - 1):
        for at in range(indptr[row], indptr[row + 1]):
            to = free[index[at]]
            free[index[at]] += 1
            rows[to] = row
            order[to] = at
    return starts, rows, order


@compiled
def first_of_list(indptr: Longs, index: Ints) -> npt.NDArray[np.bool_]:
    """Which entries of sorted lists are the first of their value in their list."""
    first = np.ones(len(index), np.bool_)
    for k in range(len(indptr) - 1):
        for at in range(indptr[k] + 1, indptr[k + 1]):
            first[at] = index[at] != index[at - 1]
    return first
