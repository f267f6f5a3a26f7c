"""Each interaction's side of the split: shipped, by time, or drawn; and the moments that go with it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal

import numpy as np
import polars as pl

from graphkit import schemas
from graphkit.config.sections import SplitSection
from graphkit.datasets.cards import SplitCard
from graphkit.datasets.holdout import held_out
from graphkit.datasets.split import time_split
from graphkit.errors import ConfigError, DataError

Kind = Literal["time", "fixed", "random", "none"]


@dataclass(frozen=True)
class Sides:
    """The interactions with their ``split`` column, and how it came about."""

    rows: pl.DataFrame
    kind: Kind
    cutoff: datetime | None = None
    label_start: datetime | None = None


@dataclass(frozen=True)
class SplitRule:
    """Everything that decides the split: the card, the configuration, and what the data have."""

    card: SplitCard
    settings: SplitSection
    timed: bool
    shipped: bool
    targets: tuple[str, ...]
    strong: tuple[str, ...]
    seed: int

    @property
    def kind(self) -> Kind:
        """The configuration counts before the card, the card before what the data suggest."""
        if self.settings.kind != "auto":
            return self.settings.kind
        if self.settings.cutoff is not None:
            return "time"
        if self.card.kind != "auto":
            return self.card.kind
        if self.card.cutoff is not None:
            return "time"
        return "fixed" if self.shipped else "time" if self.timed else "random"

    @property
    def honours_shipped(self) -> bool:
        """Whether the source's own split column stands: unless the configuration asks for another split."""
        return self.shipped and self.settings.kind in {"auto", "fixed"} and self.settings.cutoff is None


def assign_split(rows: pl.DataFrame, rule: SplitRule) -> Sides:
    """Give each row (``user``, ``item_type``, ``item``, ``signal``, ``timestamp``, ``split``) its side.

    With ``holdout = "validation"`` test rows are dropped and validation rows, cut off train, are called test.
    Raises DataError where the data cannot be split as asked, ConfigError for an impossible cut-off.
    """
    match rule.kind:
        case "time":
            sides = _by_time(rows, rule)
        case "fixed":
            sides = _as_shipped(rows, rule)
        case _:
            sides = _by_draw(rows, rule)
    if sides.rows.filter(pl.col(schemas.SPLIT) == schemas.TRAIN).is_empty():
        raise DataError("no train interactions are left by the split", fix="look at [split] in the card")
    return sides


def _by_time(rows: pl.DataFrame, rule: SplitRule) -> Sides:
    if not rule.timed:
        raise DataError(
            "a split by time needs timestamps, and every timestamp is null",
            expected="a timestamp in each interaction",
            found="none",
            fix='map columns.timestamp in the card, or set split.kind to "random"',
        )
    time = pl.col(schemas.TIMESTAMP)
    first, last = rows.select(time.min().alias("first"), time.max().alias("last")).row(0)
    cutoff = rule.settings.cutoff or rule.card.cutoff
    if rule.honours_shipped:
        cutoff = _shipped_cutoff(rows, cutoff)
    settings = rule.settings.model_copy(update={"cutoff": cutoff})
    cutoff, label_start = time_split(first, last, settings)
    if rule.settings.holdout == "validation":
        is_test = pl.col(schemas.SPLIT) == schemas.TEST
        until = cutoff + timedelta(days=settings.horizon_days)
        rows = rows.filter(~is_test if rule.honours_shipped else time < until)
    elif rule.honours_shipped:
        return Sides(rows, "time", cutoff, label_start)
    return Sides(_marked(rows, rows.select(time >= cutoff).to_series()), "time", cutoff, label_start)


def _shipped_cutoff(rows: pl.DataFrame, cutoff: datetime | None) -> datetime:
    time, is_test = pl.col(schemas.TIMESTAMP), pl.col(schemas.SPLIT) == schemas.TEST
    if cutoff is None:
        found: datetime | None = rows.filter(is_test).select(time.min()).item()
        if found is None:
            raise DataError("the shipped split has no test rows", fix="set split.cutoff")
        cutoff = found
    cutoff = cutoff if cutoff.tzinfo else cutoff.replace(tzinfo=UTC)
    wrong = rows.filter((time < cutoff) == is_test).height
    if wrong:
        raise DataError(
            "the shipped split is no split at the cut-off",
            expected=f"train before {cutoff.isoformat()}, test from then on",
            found=f"{wrong:,} rows on the other side",
            fix='set [split] kind = "fixed" in the card, or correct its cutoff',
        )
    return cutoff


def _as_shipped(rows: pl.DataFrame, rule: SplitRule) -> Sides:
    if not rule.shipped:
        raise ConfigError(
            "a fixed split needs a split column",
            expected="columns.split, or constants.split per table, in the card",
            fix='set split.kind to "time" or "random"',
        )
    if rule.settings.holdout == "validation":
        rows = _draw(rows.filter(pl.col(schemas.SPLIT) == schemas.TRAIN), rule, draw=1)
    return Sides(rows, "fixed")


def _by_draw(rows: pl.DataFrame, rule: SplitRule) -> Sides:
    rows = _draw(rows, rule, draw=0)
    if rule.settings.holdout == "validation":
        rows = _draw(rows.filter(pl.col(schemas.SPLIT) == schemas.TRAIN), rule, draw=1)
    return Sides(rows, "random")


def _draw(rows: pl.DataFrame, rule: SplitRule, draw: int) -> pl.DataFrame:
    rng = np.random.default_rng([rule.seed, draw])
    return _marked(rows, held_out(rows, rule.targets, rule.strong, rule.settings.random_share, rng))


def _marked(rows: pl.DataFrame, is_test: pl.Series) -> pl.DataFrame:
    side = pl.when(is_test).then(pl.lit(schemas.TEST)).otherwise(pl.lit(schemas.TRAIN))
    return rows.with_columns(side.alias(schemas.SPLIT))
