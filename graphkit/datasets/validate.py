"""The canonical tables' contract in pandera: what each row must hold, and which rows do not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Final

import pandera.polars as pa
import polars as pl
from pandera.errors import SchemaErrors

from graphkit import schemas
from graphkit.datasets import rejects
from graphkit.datasets.readers import ROW
from graphkit.datasets.rejects import FILE
from graphkit.errors import DataError

_OLDEST: Final = 130
#: A null in these columns has its own reason; in any other it is a null key.
_NULL_REASONS: Final = {schemas.TIMESTAMP: rejects.NULL_TIMESTAMP, schemas.SPLIT: rejects.UNKNOWN_SPLIT}
#: The reason that is told where a row has several.
_ORDER: Final = (rejects.NULL_KEY, rejects.UNKNOWN_TYPE, rejects.UNKNOWN_SIGNAL, rejects.UNKNOWN_SPLIT)


def interactions_schema(
    types: Sequence[str], signals: Sequence[str], splits: Sequence[str] | None, timed: bool, now: datetime
) -> pa.DataFrameSchema:
    """Interactions: keys there, known type and signal, seconds a number from 0, no time after ``now``.

    ``timed`` asks for a timestamp in every row, ``splits`` (None: no shipped split) for one of its values.
    """
    return _schema(
        schemas.INTERACTIONS,
        {
            schemas.ITEM_TYPE: [_one_of(types, rejects.UNKNOWN_TYPE)],
            schemas.SIGNAL: [_one_of(signals, rejects.UNKNOWN_SIGNAL)],
            schemas.SPLIT: [] if splits is None else [_one_of(splits, rejects.UNKNOWN_SPLIT)],
            schemas.TIMESTAMP: [_check(lambda column: column <= now, rejects.FUTURE)],
            schemas.SECONDS: [
                _check(lambda column: column.is_finite(), rejects.NAN_SECONDS),
                _check(lambda column: column >= 0, rejects.NEGATIVE_SECONDS),
            ],
        },
        required={*([schemas.TIMESTAMP] if timed else []), *([] if splits is None else [schemas.SPLIT])},
    )


def items_schema(types: Sequence[str]) -> pa.DataFrameSchema:
    """Items: an id and a known type."""
    return _schema(schemas.ITEMS, {schemas.ITEM_TYPE: [_one_of(types, rejects.UNKNOWN_TYPE)]})


def users_schema(now: datetime) -> pa.DataFrameSchema:
    """Users: an id, and an age a person can have."""
    this_year = now.astimezone(UTC).year
    oldest = this_year - _OLDEST
    return _schema(
        schemas.USERS,
        {
            schemas.AGE: [_check(lambda column: column.is_between(0, _OLDEST), rejects.IMPLAUSIBLE_AGE)],
            schemas.BIRTH_YEAR: [
                _check(lambda column: column.is_between(oldest, this_year), rejects.IMPLAUSIBLE_AGE)
            ],
        },
    )


def playlists_schema(types: Sequence[str]) -> pa.DataFrameSchema:
    """Playlists: ids and a known type."""
    return _schema(schemas.PLAYLISTS, {schemas.ITEM_TYPE: [_one_of(types, rejects.UNKNOWN_TYPE)]})


def links_schema(types: Sequence[str]) -> pa.DataFrameSchema:
    """Item-item links: both ends with a known type, and a side of the split if any."""
    known = [_one_of(types, rejects.UNKNOWN_TYPE)]
    sides = [_one_of((schemas.TRAIN, schemas.TEST), rejects.UNKNOWN_SPLIT)]
    return _schema(schemas.LINKS, {schemas.SRC_TYPE: known, schemas.DST_TYPE: known, schemas.SPLIT: sides})


def new_edges_schema(types: Sequence[str]) -> pa.DataFrameSchema:
    """Edges of new items: both ends with a known type, a weight above zero if any."""
    known = [_one_of(types, rejects.UNKNOWN_TYPE)]
    positive = _check(lambda column: column.is_finite() & (column > 0), rejects.BAD_WEIGHT)
    return _schema(
        schemas.NEW_EDGES,
        {schemas.ITEM_TYPE: known, schemas.NEIGHBOUR_TYPE: known, schemas.WEIGHT: [positive]},
    )


def user_vectors_schema() -> pa.DataFrameSchema:
    """User vectors: an id and a vector."""
    return _schema(schemas.USER_VECTORS, {})


def failing_rows(rows: pl.DataFrame, schema: pa.DataFrameSchema) -> pl.DataFrame:
    """``index`` of each row that breaks the schema, with FILE, ROW and the ``column``, ``reason``, ``value``.

    One reason a row. Raises DataError where the table as a whole breaks the schema.
    """
    try:
        schema.validate(rows, lazy=True)
    except SchemaErrors as errors:
        cases: pl.DataFrame = errors.failure_cases
    else:
        return rows.head(0).select(
            pl.lit(0, pl.UInt32).alias("index"), FILE, ROW,
            *(pl.lit("").alias(name) for name in ("column", "reason", "value")),
        )  # fmt: skip
    if cases["index"].null_count():
        case = cases.filter(pl.col("index").is_null()).row(0, named=True)
        raise DataError(
            "a canonical table breaks its schema",
            expected=str(case["check"]),
            found=str(case["failure_case"]),
            where=str(case["column"]),
        )
    null = pl.col("column").replace_strict(_NULL_REASONS, default=rejects.NULL_KEY, return_dtype=pl.String)
    is_null = pl.col("check") == "not_nullable"
    reason = pl.when(is_null).then(null).otherwise(pl.col("check")).alias("reason")
    rank = reason.replace_strict({name: i for i, name in enumerate(_ORDER)}, default=len(_ORDER))
    return (
        cases.select(pl.col("index").cast(pl.UInt32), "column", reason, rank.alias("rank"),
                     pl.when(~is_null).then(pl.col("failure_case")).alias("value"))
        .sort("index", "rank", "column", "reason")
        .unique("index", keep="first", maintain_order=True)
        .join(rows.select(FILE, ROW).with_row_index("index"), on="index", how="left", maintain_order="left")
        .select("index", FILE, ROW, "column", "reason", "value")
    )  # fmt: skip


def _schema(
    table: dict[str, schemas.Column], checks: dict[str, list[pa.Check]], required: set[str] | None = None
) -> pa.DataFrameSchema:
    return pa.DataFrameSchema(
        {
            name: pa.Column(
                schemas.polars_dtype(column.dtype),
                checks.get(name, []),
                nullable=column.nullable and name not in (required or set()),
            )
            for name, column in table.items()
        }
    )


def _check(holds: Callable[[pl.Expr], pl.Expr], reason: str) -> pa.Check:
    return pa.Check(lambda data: data.lazyframe.select(holds(pl.col(data.key))), name=reason)


def _one_of(values: Sequence[str], reason: str) -> pa.Check:
    return _check(lambda column: column.is_in(list(values)), reason)
