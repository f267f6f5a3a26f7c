"""The interactions tables as one: checked row by row, in UTC, with the shipped split where there is one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import polars as pl

from graphkit import schemas
from graphkit.datasets.cards import Card
from graphkit.datasets.readers import ROW
from graphkit.datasets.rejects import FILE
from graphkit.datasets.tables import Source
from graphkit.datasets.validate import interactions_schema
from graphkit.errors import DataError

_SCHEMA = {name: schemas.polars_dtype(column.dtype) for name, column in schemas.INTERACTIONS.items()} | {
    FILE: pl.UInt32(),
    ROW: pl.UInt32(),
}
_SAME_EVENT = (schemas.USER, schemas.TIMESTAMP, schemas.ITEM_TYPE, schemas.ITEM, schemas.SIGNAL)


@dataclass(frozen=True)
class Log:
    """All interactions with external ids; ``timed`` and ``shipped_split`` hold for all rows or for none."""

    rows: pl.DataFrame
    timed: bool
    shipped_split: bool


def read_log(source: Source, card: Card, signals: tuple[str, ...], now: datetime) -> Log:
    """Read every interactions table of the card; rows that break the contract go to the rejects.

    Raises DataError where one table has timestamps, or a split, and another has not.
    """
    tables = {label: source.read(label, table) for label, table in source.of_kind("interactions")}
    if not tables:
        return Log(pl.DataFrame(schema=_SCHEMA), timed=False, shipped_split=False)
    timed = _all_or_none(source, tables, schemas.TIMESTAMP)
    shipped = _all_or_none(source, tables, schemas.SPLIT)
    values = card.split.values
    schema = interactions_schema(card.types, signals, (*values.train, *values.test) if shipped else None, timed, now)
    rows = pl.concat([source.check(frame, schema) for frame in tables.values()])
    if shipped:
        is_test = pl.col(schemas.SPLIT).is_in(list(values.test))
        side = pl.when(is_test).then(pl.lit(schemas.TEST)).otherwise(pl.lit(schemas.TRAIN))
        rows = rows.with_columns(side.alias(schemas.SPLIT))
    return Log(rows, timed, shipped)


def without_duplicates(rows: pl.DataFrame) -> pl.DataFrame:
    """Sorted by user and time, one row per user, item, signal and timestamp.

    Of several, a train row counts before a test row, then the longest.
    """
    descending = [False] * len(_SAME_EVENT) + [True, True]
    ordered = rows.sort(*_SAME_EVENT, schemas.SPLIT, schemas.SECONDS, descending=descending, nulls_last=True)
    repeats = pl.all_horizontal(pl.col(name).eq_missing(pl.col(name).shift(1)) for name in _SAME_EVENT)
    return ordered.filter(~repeats | (pl.int_range(pl.len()) == 0))


def _all_or_none(source: Source, tables: dict[str, pl.DataFrame], column: str) -> bool:
    has = {label: frame[column].null_count() < frame.height for label, frame in tables.items()}
    if len(set(has.values())) > 1:
        without = next(label for label, there in has.items() if not there)
        raise DataError(
            f"the table {without} has no {column}, others have",
            where=str(source.files[without][0].path),
            expected=f"{column} in every interactions table or in none",
            fix=f"map {column} in the card under `columns` (or set it under `constants`), or drop it from the others",
        )
    return any(has.values())
