"""Histories read from a dataset: what each user met, as of a moment."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import numpy as np
import polars as pl

from graphkit import schemas
from graphkit.datasets.store import Dataset
from graphkit.datasets.user_blocks import of_users, user_blocks
from graphkit.histories import STRONG, WEAK, Histories, History, Pool, group_signals, weak_group

_WEIGHT: Final = "weight"
_DAY_MS: Final = 86_400_000
#: An entry weighs at least 2 to the power of minus this: a mean of old items alone must not divide by zero.
_MOST_HALVINGS: Final = 60


def read_histories(
    dataset: Dataset,
    before: datetime | None,
    days: int | None = None,
    max_items: int | None = None,
    apart: bool = False,
    half_life_days: float | None = None,
) -> Histories:
    """Train histories per type and signal group, strictly before ``before`` (None: all of train).

    ``days`` keeps that many days before ``before`` only, ``max_items`` each user's most recent items. ``apart`` makes
    each weak signal a group of its own. With ``half_life_days`` an entry weighs half for every so many days between
    the last time it was met and ``before``, which must then be given.
    """
    meta = dataset.meta
    weak = [weak_group(signal) for signal in meta.weak] if apart else [WEAK]
    groups = {group: group_signals(group, meta.strong, meta.weak) for group in (STRONG, *weak)}
    rows = _in_window(dataset.interactions(schemas.TRAIN), before, days)
    weight = None if half_life_days is None else _recency(before, half_life_days)
    pools = {Pool(t, group): signals for t in meta.types for group, signals in groups.items() if signals}
    parts: dict[Pool, list[History]] = {pool: [] for pool in pools}
    for low, high in user_blocks(dataset):
        block = rows.filter(of_users(low, high))
        for pool, signals in pools.items():
            of_type, of_group = (
                pl.col(schemas.ITEM_TYPE) == pool.item_type,
                pl.col(schemas.SIGNAL).is_in(list(signals)),
            )
            parts[pool].append(_history(block.filter(of_type & of_group), low, high, max_items, weight))
    return {pool: _joined(histories) for pool, histories in parts.items()}


def _joined(parts: list[History]) -> History:
    """The histories of blocks of users, one behind the other."""
    lengths = [np.diff(part.indptr) for part in parts]
    indptr = np.concatenate([np.zeros(1, np.int64), *lengths]).cumsum()
    weights = [part.weights for part in parts if part.weights is not None]
    items = np.concatenate([np.zeros(0, np.int32), *(part.items for part in parts)])
    return History(indptr, items, np.concatenate(weights) if weights else None)


def _in_window(rows: pl.LazyFrame, before: datetime | None, days: int | None) -> pl.LazyFrame:
    if before is None:
        return rows
    time = pl.col(schemas.TIMESTAMP)
    rows = rows.filter(time < before)
    return rows if days is None else rows.filter(time >= before - timedelta(days=days))


def _history(rows: pl.LazyFrame, low: int, high: int, max_items: int | None, weight: pl.Expr | None) -> History:
    """The history of the users from ``low`` up to ``high``, whose ``rows`` these are."""
    pairs = (
        rows.group_by(schemas.USER, schemas.ITEM)
        .agg(pl.col(schemas.TIMESTAMP).max())
        .sort(schemas.USER, schemas.TIMESTAMP, _shuffled(), schemas.ITEM)
    )
    if max_items is not None:
        pairs = pairs.group_by(schemas.USER, maintain_order=True).tail(max_items)
    frame = pairs.select(schemas.USER, schemas.ITEM, *([] if weight is None else [weight])).collect()
    count = np.bincount(frame[schemas.USER].to_numpy() - np.uint32(low), minlength=high - low)
    indptr = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    weights = None if weight is None else frame[_WEIGHT].to_numpy().astype(np.float32)
    return History(indptr, frame[schemas.ITEM].to_numpy().astype(np.int32), weights)


def _recency(before: datetime | None, half_life_days: float) -> pl.Expr:
    """What an entry weighs: 1 at ``before``, and half for each half-life earlier."""
    if before is None:
        raise ValueError("recency needs a moment to count from")
    age_days = (pl.lit(before) - pl.col(schemas.TIMESTAMP)).dt.total_milliseconds() / _DAY_MS
    return pl.lit(0.5).pow((age_days / half_life_days).clip(0, _MOST_HALVINGS)).alias(_WEIGHT)


def _shuffled() -> pl.Expr:
    """A fixed pseudo-random number per pair (a multiplicative hash, modulo a prime).

    It orders items of the same moment, and all items where there are no timestamps: were they ordered by
    item number, cutting a history to ``max_items`` would favour some items for all users.
    """
    user, item = pl.col(schemas.USER).cast(pl.UInt64), pl.col(schemas.ITEM).cast(pl.UInt64)
    return (user * 2_654_435_761 + item * 40_503_001 + 12_345) % 2_147_483_647 * 48_271 % 2_147_483_647
