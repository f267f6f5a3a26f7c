"""The run that is audited: its current batches, hash-checked, and the raw rows that everything is held against."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

import polars as pl

from graphkit import schemas
from graphkit.artefacts import Batch, Workspace
from graphkit.audit.finding import Facts
from graphkit.datasets.store import Dataset, DatasetMeta
from graphkit.errors import ArtefactError
from graphkit.stages import ALL_STAGES, STAGES

#: The Parquet file that a raw row stands in.
FILE: Final = "file"


@dataclass(frozen=True)
class Period:
    """Half-open: ``[start, end)``; None: no bound."""

    start: datetime | None = None
    end: datetime | None = None

    def __str__(self) -> str:
        if self.start is None and self.end is None:
            return "all of train"
        return f"[{iso(self.start) or 'the first row'}, {iso(self.end)})"

    def holds(self) -> pl.Expr:
        """True for a row inside; False for one without a timestamp where there is a bound."""
        time, inside = pl.col(schemas.TIMESTAMP), pl.lit(True)
        if self.start is not None:
            inside = inside & (time >= self.start)
        if self.end is not None:
            inside = inside & (time < self.end)
        return inside.fill_null(False)


def is_known(signals: tuple[str, ...], period: Period) -> pl.Expr:
    """True for a train row of one of ``signals`` inside ``period``."""
    return (pl.col(schemas.SPLIT) == schemas.TRAIN) & pl.col(schemas.SIGNAL).is_in(list(signals)) & period.holds()


def future_first(period: Period) -> list[pl.Expr]:
    """Sorts rows from outside a period: test rows and later ones, then other rows, then those ahead of it; the
    earliest first."""
    time = pl.col(schemas.TIMESTAMP)
    future = pl.col(schemas.SPLIT) == schemas.TEST
    if period.end is not None:
        future = future | (time >= period.end)
    ahead = [] if period.start is None else [time < period.start]
    return [~future, *ahead, time, pl.col(schemas.USER)]


@dataclass(frozen=True)
class AuditedRun:
    """The current batch of each stage that is made, all made from one another."""

    batches: dict[str, Batch]
    meta: DatasetMeta

    @classmethod
    def open(cls, workspace: Workspace) -> AuditedRun:
        """Open every current batch but the report.

        Raises ArtefactError without a dataset, for a damaged batch, and for one made from other batches than
        the current ones: what it saw cannot be held against these.
        """
        batches = {"dataset": workspace.current("dataset")}
        for stage in STAGES:
            if stage not in ("dataset", "report") and workspace.has(stage):
                batches[stage] = workspace.current(stage)
                further = ALL_STAGES.keys() & batches[stage].manifest.upstream.keys() - STAGES.keys()
                batches |= {name: workspace.current(name) for name in sorted(further)}
        for batch in batches.values():
            _require_current(batch, batches)
        return cls(batches, Dataset.open(batches["dataset"]).meta)

    def settings(self, stage: str, section: str) -> dict[str, Any]:
        """A section of the configuration that a stage was made under."""
        found: dict[str, Any] = self.batches[stage].manifest.settings[section]
        return found

    def rows(self) -> pl.LazyFrame:
        """Every interaction as it is stored, and the ``file`` it stands in."""
        folder = self.batches["dataset"].path(schemas.INTERACTIONS_DIR)
        return pl.scan_parquet(folder / "*.parquet", include_file_paths=FILE)

    def train_rows(self, signals: tuple[str, ...], period: Period, item_type: str | None = None) -> pl.LazyFrame:
        """The train rows of some signals inside a period, of one type if named."""
        rows = self.rows().filter(is_known(signals, period))
        return rows if item_type is None else rows.filter(pl.col(schemas.ITEM_TYPE) == item_type)

    def user_id(self, user: int) -> str | None:
        """The external id of a user."""
        return self._id(schemas.USERS_FILE, pl.col(schemas.USER) == user, schemas.USER_ID)

    def item_id(self, item_type: str, item: int) -> str | None:
        """The external id of an item."""
        where = (pl.col(schemas.ITEM_TYPE) == item_type) & (pl.col(schemas.ITEM) == item)
        return self._id(schemas.ITEMS_FILE, where, schemas.ITEM_ID)

    def _id(self, table: str, where: pl.Expr, column: str) -> str | None:
        found = pl.scan_parquet(self.batches["dataset"].path(table)).filter(where).select(column).collect()
        return str(found.item()) if found.height else None

    def named(self, user: int, item_type: str, item: int) -> Facts:
        """A (user, item) pair as people know it."""
        return {
            schemas.USER_ID: self.user_id(user),
            schemas.ITEM_TYPE: item_type,
            schemas.ITEM_ID: self.item_id(item_type, item),
        }

    def row_facts(self, row: dict[str, Any]) -> Facts:
        """A raw row as people know it, and where it stands."""
        return self.named(row[schemas.USER], row[schemas.ITEM_TYPE], row[schemas.ITEM]) | {
            schemas.SIGNAL: row[schemas.SIGNAL],
            schemas.TIMESTAMP: iso(row[schemas.TIMESTAMP]),
            schemas.SPLIT: row[schemas.SPLIT],
            FILE: row[FILE],
        }

    def outside(self, period: Period, signals: tuple[str, ...], where: pl.Expr) -> Facts | None:
        """Of the rows ``where`` that are no train rows of ``signals`` inside ``period``, the first
        as ``future_first`` sorts them."""
        rows = self.rows().filter(where & ~is_known(signals, period))
        first = rows.sort(future_first(period), nulls_last=True).head(1).collect()
        return self.row_facts(first.row(0, named=True)) if first.height else None


def iso(moment: datetime | None) -> str | None:
    """As it is printed."""
    return moment.isoformat() if moment is not None else None


def _require_current(batch: Batch, batches: dict[str, Batch]) -> None:
    for name, used in batch.manifest.upstream.items():
        if name not in batches or batches[name].id != used:
            stage = batch.manifest.stage
            raise ArtefactError(
                f"the current {stage} cannot be audited: it was made from another {name} batch than the current one",
                where=str(batch.folder),
                expected=f"{name} batch {batches[name].id}" if name in batches else f"a current {name} batch",
                found=f"{name} batch {used}, as its manifest says",
                fix=f"run `{ALL_STAGES[stage].command}` again",
            )
