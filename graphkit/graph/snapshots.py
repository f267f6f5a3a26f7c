"""Who listened to what, as of a moment: the rows a graph snapshot is made from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from graphkit import schemas
from graphkit.datasets.store import Dataset
from graphkit.errors import DataError
from graphkit.graph.store import FIT, SERVE
from graphkit.graph.ties import tie_order

#: Item types as small integers, in the order of the dataset's types.
TYPE_CODE = "type_code"


@dataclass(frozen=True)
class Window:
    """The half-open period ``[start, end)`` of a snapshot; None: no bound."""

    start: datetime | None = None
    end: datetime | None = None

    def __str__(self) -> str:
        start, end = (time.isoformat() if time else "any time" for time in (self.start, self.end))
        return f"from {start} to before {end}"

    def filter(self) -> pl.Expr:
        """True for the rows inside."""
        time, inside = pl.col(schemas.TIMESTAMP), pl.lit(True)
        if self.end is not None:
            inside = inside & (time < self.end)
        return inside & (time >= self.start) if self.start is not None else inside


@dataclass(frozen=True)
class CappedPairs:
    """Distinct (user, item) pairs after the cap, and what the cap took."""

    pairs: pl.DataFrame  # user u32, type_code u32, item u32
    users_capped: int
    pairs_cut: int


def snapshot_windows(dataset: Dataset, window_days: int | None) -> dict[str, Window]:
    """The window of each snapshot: ``fit`` ends where the label period starts, ``serve`` at the cut-off.

    Without timestamps both are unbounded, and so equal.
    """
    ends = {FIT: dataset.meta.label_start, SERVE: dataset.meta.cutoff}
    return {name: _window(end, window_days) for name, end in ends.items()}


def _window(end: datetime | None, days: int | None) -> Window:
    bounded = end is not None and days is not None
    return Window(end - timedelta(days=days) if bounded else None, end)  # type: ignore[operator, arg-type]


def read_pairs(dataset: Dataset, snapshot: str, window: Window) -> pl.DataFrame:
    """Distinct strong train (user, item) pairs of a window, each with its latest ``timestamp``.

    Columns ``user`` u32, ``type_code`` u32, ``item`` u32, ``timestamp``. Raises DataError where the window
    holds no row, or rows of one user only.
    """
    types = pl.Enum(dataset.meta.types)
    strong = dataset.interactions(schemas.TRAIN, dataset.meta.strong)
    pairs = (
        strong.filter(window.filter())
        .with_columns(pl.col(schemas.ITEM_TYPE).cast(types).to_physical().cast(pl.UInt32).alias(TYPE_CODE))
        .group_by(schemas.USER, TYPE_CODE, schemas.ITEM)
        .agg(pl.col(schemas.TIMESTAMP).max())
        .sort(schemas.USER, TYPE_CODE, schemas.ITEM)
        .collect()
    )
    _check_not_empty(pairs, strong, snapshot, window)
    if pairs[schemas.USER].n_unique() < 2:
        raise DataError(
            f"only one user has train interactions in the {snapshot!r} window",
            where=str(dataset.batch.folder),
            expected="at least two users: items are joined by the users who share them",
            found=f"{pairs.height} items of one user, {window}",
            fix="import the logs of more users, or widen graph.window_days",
        )
    return pairs


def _check_not_empty(pairs: pl.DataFrame, strong: pl.LazyFrame, snapshot: str, window: Window) -> None:
    if pairs.height:
        return
    time = pl.col(schemas.TIMESTAMP)
    first, last, rows = strong.select(time.min(), time.max().alias("last"), pl.len()).collect().row(0)
    if not rows:
        raise DataError(
            "the dataset has no strong train interactions",
            expected="rows whose signal the dataset calls strong, before the test period",
            fix="name the strong signals in the dataset card, or move split.cutoff later",
        )
    raise DataError(
        f"the window of the {snapshot!r} graph holds no strong train interactions",
        expected=f"interactions {window}",
        found=f"{rows} interactions from {first.isoformat()} to {last.isoformat()}",
        fix="set graph.window_days to none or to more days"
        + (", or split.label_days to fewer" if snapshot == FIT else ""),
    )


def cap_users(pairs: pl.DataFrame, max_items: int, seed: int) -> CappedPairs:
    """Keep each user's ``max_items`` most recent items; equal (or no) times in a seeded random order.

    A user with n items makes n²/2 pairs, so a few hoarders would otherwise be most of the work.
    """
    size = pl.len().over(schemas.USER)
    crowded = pairs.filter(size > max_items)
    columns = [schemas.USER, TYPE_CODE, schemas.ITEM]
    if crowded.is_empty():
        return CappedPairs(pairs.select(columns), 0, 0)
    user, code, item = (crowded[name].to_numpy().astype(np.int64) for name in columns)
    tie = tie_order((user << 38) ^ (code << 32) ^ item, seed)
    kept = (
        crowded.with_columns(pl.Series("tie", tie))
        .sort(schemas.USER, schemas.TIMESTAMP, "tie", descending=[False, True, False], nulls_last=True)
        .filter(pl.int_range(pl.len()).over(schemas.USER) < max_items)
    )
    merged = pl.concat([pairs.filter(size <= max_items).select(columns), kept.select(columns)]).sort(columns)
    return CappedPairs(merged, crowded[schemas.USER].n_unique(), crowded.height - kept.height)
