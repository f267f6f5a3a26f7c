"""What a user listened to in a window, de-duplicated: from the log, or from an older window and the new days.

An occurrence is (user, type, item, weight) with its latest ``timestamp``: enough to drop the oldest days later,
since a pair leaves the window with its last occurrence. Under a gap limit every distinct moment is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import polars as pl

from graphkit import schemas
from graphkit.config.sections import GraphSection
from graphkit.datasets.store import Dataset
from graphkit.graph.memory import MemoryLimit
from graphkit.graph.signals import WEIGHT, counting_rows, signal_weights
from graphkit.graph.windows import Window

#: Item types as small integers, in the order of the dataset's types.
TYPE_CODE: Final = "type_code"
PAIR: Final = (schemas.USER, TYPE_CODE, schemas.ITEM)
#: Bytes that reading and grouping a row of the log was seen to take, and the rows read at a time.
_BYTES_PER_ROW: Final = 160
_LEAST_ROWS: Final = 200_000
_MOST_ROWS: Final = 4_000_000


def type_code(types: Sequence[str]) -> pl.Expr:
    """``item_type`` as ``type_code``."""
    return pl.col(schemas.ITEM_TYPE).cast(pl.Enum(types)).to_physical().cast(pl.UInt32).alias(TYPE_CODE)


@dataclass(frozen=True)
class Occurrences:
    """The occurrences of one window, read a range of users at a time."""

    dataset: Dataset
    window: Window
    settings: GraphSection
    #: The occurrences of an older window, and that window.
    older: tuple[pl.LazyFrame, Window] | None = None

    def chunks(self, limit: MemoryLimit) -> Iterator[pl.DataFrame]:
        """Every occurrence, sorted by user, a frame of whole users at a time that suits the memory limit."""
        for of_users in self._user_ranges(limit):
            yield self._grouped(self._rows(of_users))

    def chunks_of(self, ranges: Iterable[tuple[int, int]]) -> Iterator[pl.DataFrame]:
        """The occurrences of some users: of ranges of them, both ends inclusive."""
        for first, last in ranges:
            yield self._grouped(self._rows(pl.col(schemas.USER).is_between(first, last)))

    def rows_per_item(self) -> pl.DataFrame:
        """``type_code``, ``item`` and the ``rows`` of the log that count for it."""
        counted = self._log(self.window).group_by(TYPE_CODE, schemas.ITEM).agg(pl.len().alias("rows"))
        return counted.collect(engine="streaming")

    def _user_ranges(self, limit: MemoryLimit) -> Iterator[pl.Expr]:
        total = self.dataset.interactions().select(pl.len()).collect().item()
        limit.check("read the log", _LEAST_ROWS * _BYTES_PER_ROW)
        rows = min(max(limit.free // 10 // _BYTES_PER_ROW, _LEAST_ROWS), _MOST_ROWS)
        users = max(self.dataset.meta.num_users, 1)
        step = max(users * rows // max(total, 1), 1)
        for first in range(0, users, step):
            yield pl.col(schemas.USER).is_between(first, min(first + step, users) - 1)

    def _rows(self, of_users: pl.Expr) -> pl.LazyFrame:
        if self.older is None:
            return self._log(self.window).filter(of_users)
        kept, before = self.older
        new_days = self._log(Window(before.end, self.window.end))
        return pl.concat([kept.filter(of_users & self.window.filter()), new_days.filter(of_users)])

    def _log(self, window: Window) -> pl.LazyFrame:
        meta = self.dataset.meta
        weights = signal_weights(meta, self.settings.signal_weights)
        rows = self.dataset.interactions(schemas.TRAIN).filter(window.filter())
        return counting_rows(rows, weights, self.settings.min_seconds).select(
            schemas.USER, type_code(meta.types), schemas.ITEM, WEIGHT, schemas.TIMESTAMP
        )

    def _grouped(self, rows: pl.LazyFrame) -> pl.DataFrame:
        time = pl.col(schemas.TIMESTAMP)
        if self.settings.max_gap_days is None:
            grouped = rows.group_by(*PAIR, WEIGHT).agg(time.max())
        else:
            grouped = rows.group_by(*PAIR, schemas.TIMESTAMP).agg(pl.col(WEIGHT).max())
        columns = (*PAIR, WEIGHT, schemas.TIMESTAMP)
        return grouped.select(columns).sort(columns).collect(engine="streaming")
