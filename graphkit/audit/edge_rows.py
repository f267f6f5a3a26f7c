"""The raw rows that the edges of a snapshot may rest on."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import polars as pl

from graphkit import schemas
from graphkit.audit.run import AuditedRun, Period, is_known
from graphkit.graph.store import FIT, SERVE


def snapshot_period(run: AuditedRun, snapshot: str) -> Period:
    """What a snapshot may see: ``window_days`` that end with the label period's start, or the cut-off."""
    end = {FIT: run.meta.label_start, SERVE: run.meta.cutoff}[snapshot]
    days = run.settings("graph", "graph")["window_days"]
    return Period(end - timedelta(days=days) if end and days else None, end)


@dataclass(frozen=True)
class EdgeRows:
    """Train rows inside a period, by the signals that make edges."""

    run: AuditedRun
    period: Period

    def signals(self, item_type: str) -> tuple[str, ...]:
        """Strong signals, and the weak ones that the graph's settings weigh."""
        weighed = self.run.settings("graph", "graph").get("signal_weights", {})
        weak = [s for s in self.run.meta.weak if s in weighed or f"{item_type}.{s}" in weighed]
        return (*self.run.meta.strong, *weak)

    def of_type(self, item_type: str) -> pl.LazyFrame:
        """The rows of one type."""
        return self.run.train_rows(self.signals(item_type), self.period, item_type)

    def hold(self, item_type: str) -> pl.Expr:
        """True for the rows of one type."""
        return (pl.col(schemas.ITEM_TYPE) == item_type) & is_known(self.signals(item_type), self.period)


@dataclass(frozen=True)
class StrongRows(EdgeRows):
    """Of those the ones by strong signals, whatever the graph weighs."""

    def signals(self, item_type: str) -> tuple[str, ...]:
        return self.run.meta.strong
