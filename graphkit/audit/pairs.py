"""(user, item) pairs of one type as sorted integers: who is known to have met what, and quick to look up."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas

Ints = npt.NDArray[np.int64]


def pair_keys(users: npt.NDArray[np.integer[Any]], items: npt.NDArray[np.integer[Any]], num_items: int) -> Ints:
    """``user * num_items + item``: int64 [n]."""
    return users.astype(np.int64) * num_items + items.astype(np.int64)


def known_pairs(rows: pl.LazyFrame, num_items: int) -> Ints:
    """The distinct pairs of ``rows`` of one type as sorted keys: int64 [num_pairs]."""
    key = pl.col(schemas.USER).cast(pl.Int64) * num_items + pl.col(schemas.ITEM).cast(pl.Int64)
    found = rows.select(key.alias("key")).unique().collect(engine="streaming")
    keys: Ints = np.sort(found["key"].to_numpy())
    return keys


def is_in(wanted: Ints, known: Ints) -> npt.NDArray[np.bool_]:
    """Whether each of ``wanted`` is among the sorted ``known``: bool [n]."""
    if not len(known):
        return np.zeros(len(wanted), dtype=bool)
    found: npt.NDArray[np.bool_] = known[np.searchsorted(known, wanted).clip(max=len(known) - 1)] == wanted
    return found
