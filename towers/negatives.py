"""The columns of a batch: the items that each of its users is scored against, its own among them.

Column n of a batch is a negative of every user who is not known to like its item. Columns are the items of the
batch's own examples, which come in proportion to their popularity, and ``towers.catalogue_negatives`` items drawn
evenly from the catalogue, most of which no batch shows (mixed negative sampling, Yang et al., WWW '20 Companion).
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from graphkit.histories import History
from graphkit.user_features import Floats

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

#: How many numbers of columns the batches of one size may have.
_SIZES: Final = 8


class Columns(NamedTuple):
    """Which item each column holds, which column is each example's own, and how often an item is to be met.

    The first ``used`` columns hold distinct items; the others, fillers, are no user's negatives. One column
    stands for all ``times`` that the batch's examples and draws have its item.
    """

    items: Ints  # [C]
    own: Ints  # [B]
    probability: Floats  # [C], in proportion to how often a batch is to hold the item
    times: Floats  # [C], how often this batch does
    used: int
    whole: bool = False  # the whole catalogue, in the order of its numbers


def batch_columns(items: Ints, share: Floats, extra: int, rng: np.random.Generator | None) -> Columns:
    """The columns of a batch of examples of ``items`` [B]; ``share`` [num_items] is each item's share of examples.

    ``extra`` distinct items of the catalogue are drawn beside the batch's own: none without ``rng``. A catalogue that
    has no more than these is taken whole, each item once, in place of the batch's items: then nothing is sampled and
    every probability is the same.
    """
    num_items = len(share)
    if extra >= num_items:
        every = np.arange(num_items)
        even = np.ones(num_items, dtype=np.float32)
        return Columns(every, items, even, even, num_items, whole=True)
    drawn = np.zeros(0, dtype=np.int64)
    if extra and rng is not None:
        drawn = rng.choice(num_items, extra, replace=False)
    met = np.concatenate([items, drawn])
    distinct, column, count = np.unique(met, return_inverse=True, return_counts=True)
    expected = (len(items) * share[distinct] + len(drawn) / num_items) / len(met)
    used, total = len(distinct), _total(len(distinct), len(met))
    fill = (0, total - used)
    return Columns(
        np.pad(distinct, fill),
        column[: len(items)],
        np.pad(expected, fill, constant_values=1).astype(np.float32),
        np.pad(count, fill, constant_values=1).astype(np.float32),
        used,
    )


def _total(used: int, most: int) -> int:
    """A number of columns that few batches differ in: each takes TensorFlow a compilation."""
    step = -(-most // _SIZES)
    return min(-(-used // step) * step, most)


def no_negatives(users: Ints, columns: Columns, liked: tuple[History, ...]) -> Flags:
    """Where column n is no negative of user k, since it is its own, in one of the histories ``liked``, or a filler:
    bool [B, C]."""
    found = np.zeros((len(users), len(columns.items)), dtype=bool)
    distinct = columns.items[: columns.used]
    for history in liked:
        row, item = history.pairs(users)
        place = np.searchsorted(distinct, item)
        place[place == len(distinct)] = 0
        hit = distinct[place] == item
        found[row[hit], place[hit]] = True
    found[np.arange(len(users)), columns.own] = True
    found[:, columns.used :] = True
    return found
