"""The two moments of the laboratory: what is known at each, and what comes after it.

At ``fit``, the start of the label period, the small models of the tasks are trained: user vectors that know the rows
before it, labels from the days after it, which are train rows all the same. At ``serve``, the cut-off, they are
measured: vectors that know all of train, labels from the first test rows. So no vector, count or factor beside a
label knows the label's moment or anything later, and users who are trained on are not measured.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import polars as pl

from graphkit import schemas
from graphkit.datasets.store import Dataset
from graphkit.graph.store import FIT, SERVE

UNTIMED: Final = "the data have no timestamps: nothing comes later than anything else"


@dataclass(frozen=True)
class Moment:
    """``fit`` or ``serve``; ``at`` is None without timestamps, where all of train is known and nothing follows."""

    name: str
    at: datetime | None

    def known(self, dataset: Dataset, signals: tuple[str, ...] | None = None) -> pl.LazyFrame:
        """Train rows of ``Dataset.interactions`` strictly before the moment."""
        rows = dataset.interactions(schemas.TRAIN, signals)
        return rows if self.at is None else rows.filter(pl.col(schemas.TIMESTAMP) < self.at)

    def coming(self, dataset: Dataset, horizon: timedelta, signals: tuple[str, ...] | None = None) -> pl.LazyFrame:
        """The rows of the ``horizon`` that starts at the moment: of train at ``fit``, of test at ``serve``."""
        assert self.at is not None  # narrows for mypy: tasks that look ahead do not apply without timestamps
        rows = dataset.interactions(schemas.TRAIN if self.name == FIT else schemas.TEST, signals)
        time = pl.col(schemas.TIMESTAMP)
        return rows.filter((time >= self.at) & (time < self.at + horizon))


def moments_of(dataset: Dataset) -> tuple[Moment, Moment]:
    """``fit`` and ``serve``."""
    return Moment(FIT, dataset.meta.label_start), Moment(SERVE, dataset.meta.cutoff)
