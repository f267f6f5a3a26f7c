"""The rows a dataset is described from: strong train interactions in the graph's window, of a stated sample."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import numpy as np
import polars as pl
from scipy import sparse

from graphkit import schemas
from graphkit.datasets.store import Dataset

#: What looks at pairs is measured on this many users of a target type, taken at even steps.
MAX_USERS: Final = 25_000


@dataclass(frozen=True)
class Window:
    """Which train rows count: those of ``rows`` (strong signals), and what that is called."""

    rows: pl.LazyFrame
    name: str


@dataclass(frozen=True)
class Sample:
    """Who listened to what, among users of one target type: ``num_users`` of ``total_users``, renumbered.

    ``matrices`` maps every item type to a 0/1 matrix float32 [num_users, num_items].
    """

    target: str
    matrices: dict[str, Any]  # scipy.sparse.csr_array
    num_users: int
    total_users: int

    @property
    def scope(self) -> str:
        """``all 1,398 book users``, or ``25,000 of 52,072 music users``."""
        part = "all" if self.num_users == self.total_users else f"{self.num_users:,} of"
        return f"{part} {self.total_users:,} {self.target} users"

    @property
    def other_types(self) -> tuple[str, ...]:
        return tuple(name for name in self.matrices if name != self.target)


def train_window(dataset: Dataset, window_days: int | None) -> Window:
    """The strong train rows of the graph's window: the last ``window_days`` before the cut-off, or all of train."""
    rows = dataset.interactions(schemas.TRAIN, dataset.meta.strong)
    if dataset.meta.cutoff is None or window_days is None:
        return Window(rows, "all of train")
    since = dataset.meta.cutoff - timedelta(days=window_days)
    return Window(rows.filter(pl.col(schemas.TIMESTAMP) >= since), f"the last {window_days} days of train")


def read_sample(dataset: Dataset, window: Window, target: str, max_users: int = MAX_USERS) -> Sample:
    """At most ``max_users`` users with a row of ``target``, and everything they listened to in the window."""
    users = (
        window.rows.filter(pl.col(schemas.ITEM_TYPE) == target)
        .select(pl.col(schemas.USER).unique().sort())
        .collect(engine="streaming")[schemas.USER]
    )
    step = max(1, -(-users.len() // max_users))
    chosen = pl.DataFrame({schemas.USER: users.gather_every(step)}).with_row_index("row")
    pairs = (
        window.rows.join(chosen.lazy(), on=schemas.USER)
        .select("row", schemas.ITEM_TYPE, schemas.ITEM)
        .unique()
        .sort("row", schemas.ITEM_TYPE, schemas.ITEM)
        .collect(engine="streaming")
    )
    matrices = {
        item_type: _matrix(pairs.filter(pl.col(schemas.ITEM_TYPE) == item_type), (chosen.height, size))
        for item_type, size in dataset.meta.num_items.items()
    }
    return Sample(target, matrices, chosen.height, users.len())


def _matrix(pairs: pl.DataFrame, shape: tuple[int, int]) -> Any:
    ends = pairs["row"].to_numpy().astype(np.int64), pairs[schemas.ITEM].to_numpy().astype(np.int64)
    return sparse.csr_array((np.ones(pairs.height, np.float32), ends), shape=shape)
