"""The period of the log that each snapshot of the graph is made from."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

import polars as pl

from graphkit import schemas
from graphkit.datasets.store import Dataset
from graphkit.errors import DataError
from graphkit.graph.store import FIT, SERVE


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


def snapshot_windows(dataset: Dataset, window_days: int | None) -> dict[str, Window]:
    """The window of each snapshot: ``fit`` ends where the label period starts, ``serve`` at the cut-off.

    Without timestamps both are unbounded, and so equal.
    """
    ends = {FIT: dataset.meta.label_start, SERVE: dataset.meta.cutoff}
    return {name: _window(end, window_days) for name, end in ends.items()}


def _window(end: datetime | None, days: int | None) -> Window:
    bounded = end is not None and days is not None
    return Window(end - timedelta(days=days) if bounded else None, end)  # type: ignore[operator, arg-type]


def check_window(dataset: Dataset, snapshot: str, window: Window, users: int, pairs: int) -> None:
    """Raise DataError where a window holds nothing that counts, or the listening of one user only."""
    if users >= 2:
        return
    if users == 1:
        raise DataError(
            f"only one user has train interactions in the {snapshot!r} window",
            where=str(dataset.batch.folder),
            expected="at least two users: items are joined by the users who share them",
            found=f"{pairs} items of one user, {window}",
            fix="import the logs of more users, or widen graph.window_days",
        )
    time = pl.col(schemas.TIMESTAMP)
    strong = dataset.interactions(schemas.TRAIN, dataset.meta.strong)
    first, last, rows = strong.select(time.min(), time.max().alias("last"), pl.len()).collect().row(0)
    if not rows:
        raise DataError(
            "the dataset has no strong train interactions",
            expected="rows whose signal the dataset calls strong, before the test period",
            fix="name the strong signals in the dataset card, or move split.cutoff later",
        )
    period = f" from {first.isoformat()} to {last.isoformat()}" if first else ""
    raise DataError(
        f"the window of the {snapshot!r} graph holds no strong train interactions",
        expected=f"interactions {window}, of at least graph.min_seconds",
        found=f"{rows} interactions{period}",
        fix="set graph.window_days to none or to more days, or graph.min_seconds to less"
        + (", or split.label_days to fewer" if snapshot == FIT else ""),
    )
