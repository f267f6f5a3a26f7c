"""The columns of a batch: the items that each of its users is scored against, its own among them.

Column n of a batch is a negative of every user who is not known to like its item. Columns are the items of the
batch's own examples, which come in proportion to their popularity, and ``towers.catalogue_negatives`` items drawn
evenly from the catalogue, most of which no batch shows (mixed negative sampling, Yang et al., WWW '20 Companion).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from graphkit.user_features import Floats, History

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class Columns(NamedTuple):
    """Which item each column holds, which column is each example's own, and how often an item is to be met."""

    items: Ints  # [C]
    own: Ints  # [B]
    probability: Floats  # [C], in proportion to how many of a batch's columns hold the item
    whole: bool = False  # the whole catalogue, in the order of its numbers


def batch_columns(items: Ints, share: Floats, extra: int, rng: np.random.Generator | None) -> Columns:
    """The columns of a batch of examples of ``items`` [B]; ``share`` [num_items] is each item's share of examples.

    ``extra`` distinct items of the catalogue are drawn beside the batch's own: none without ``rng``. A catalogue that
    has no more than these is taken whole, each item once, in place of the batch's items: then nothing is sampled and
    every probability is the same.
    """
    num_items = len(share)
    if extra >= num_items:
        return Columns(np.arange(num_items), items, np.ones(num_items, dtype=np.float32), whole=True)
    own = np.arange(len(items))
    if not extra or rng is None:
        return Columns(items, own, share[items])
    drawn = np.concatenate([items, rng.choice(num_items, extra, replace=False)])
    expected = len(items) * share[drawn] + extra / num_items
    return Columns(drawn, own, (expected / len(drawn)).astype(np.float32))


def no_negatives(users: Ints, columns: Columns, liked: tuple[History, ...]) -> Flags:
    """Where column n is no negative of user k, since it is its own or is in one of the histories ``liked``:
    bool [B, C]."""
    distinct, column = np.unique(columns.items, return_inverse=True)
    found = np.zeros((len(users), len(distinct)), dtype=bool)
    for history in liked:
        row, item = history.pairs(users)
        place = np.searchsorted(distinct, item)
        place[place == len(distinct)] = 0
        hit = distinct[place] == item
        found[row[hit], place[hit]] = True
    if not columns.whole:
        found = found[:, column]
    found[np.arange(len(users)), columns.own] = True
    return found
