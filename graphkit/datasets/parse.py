"""One source file, as its card reads it: canonical columns, and the rows that cannot be read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import polars as pl

from graphkit import schemas
from graphkit.datasets import rejects
from graphkit.datasets.cards import Keep, TableCard
from graphkit.datasets.readers import BROKEN, BROKEN_TEXT, ROW, RawTable
from graphkit.datasets.values import is_blank, read_column, read_number, read_text
from graphkit.errors import DataError, did_you_mean

DTYPE_WORDS = {"str": "text", "f32": "numbers", "i16": "whole numbers", "u32": "whole numbers",
                "datetime": "timestamps", "list[str]": "lists of text",
                "list[f32]": "lists of numbers"}  # fmt: skip


@dataclass(frozen=True)
class Parsed:
    """``rows`` have the canonical columns that the file gives, and ROW; ``rejected`` ROW and the reason.

    ``given`` and ``unreadable`` count each column's non-null values, and those that cannot be read.
    """

    rows: pl.DataFrame
    rejected: pl.DataFrame
    filtered: int
    given: dict[str, int]
    unreadable: dict[str, int]


class _Problem(NamedTuple):
    """What may be wrong with a row: where it is so, why (None: as the reader says), in which column, and the
    value to show."""

    there: pl.Expr
    reason: str | None
    column: str
    value: pl.Expr


def wanted_columns(table: TableCard) -> list[str]:
    """The source columns a table may read."""
    mapped = [table.columns.get(name, name) for name in table.read_columns if name not in table.constants]
    return list(dict.fromkeys([*mapped, *table.keep]))


def source_columns(table: TableCard, raw: RawTable) -> dict[str, str]:
    """Canonical -> source column of what the file has. Raises DataError for a column that must be there."""
    found: dict[str, str] = {}
    for name, column in table.read_columns.items():
        source = table.columns.get(name, name)
        if name in table.constants:
            continue
        if source in raw.columns:
            found[name] = source
        elif column.required or name in table.columns:
            raise _missing(raw, name, source)
    for name in table.keep:
        if name not in raw.columns:
            raise _missing(raw, "keep", name)
    return found


def parse(table: TableCard, raw: RawTable) -> Parsed:
    """Read a raw table's values. Raises DataError for a column that is missing or of a dtype it cannot have."""
    sources = source_columns(table, raw)
    problems = [
        _Problem(pl.col(BROKEN).is_not_null(), None, "(whole row)", pl.col(BROKEN_TEXT)),
        *(_not_utf8(raw, name, source) for name, source in sources.items()),
    ]
    values: dict[str, pl.Expr] = {name: pl.lit(v, pl.String) for name, v in table.constants.items()}
    keep = pl.lit(True)
    for source, limits in table.keep.items():
        kept, problem = _keep(raw, source, limits)
        keep, problems = keep & kept, [*problems, problem]
    for name, source in sources.items():
        values[name], found = _read_column(table, raw, name, source)
        problems += found
    return _apply(raw, values, problems, keep, sources)


def _apply(
    raw: RawTable,
    values: dict[str, pl.Expr],
    problems: Sequence[_Problem],
    keep: pl.Expr,
    sources: dict[str, str],
) -> Parsed:
    which = pl.coalesce(pl.when(p.there).then(pl.lit(number, pl.UInt8)) for number, p in enumerate(problems))
    names = {f"value/{name}": expression for name, expression in values.items()}
    rows = raw.rows.with_columns(which.alias("__which"), keep.fill_null(False).alias("__keep"), **names)
    given = rows.select(
        (~is_blank(pl.col(source), raw.rows.schema[source])).sum().alias(name) for name, source in sources.items()
    )
    wrong = rows["__which"].value_counts()
    count = dict(wrong.drop_nulls().rows())
    unreadable = {
        p.column: count[n] for n, p in enumerate(problems) if p.reason == rejects.UNPARSEABLE and n in count
    }
    bad = rows.filter(pl.col("__which").is_not_null())
    good = rows.filter(pl.col("__which").is_null() & pl.col("__keep"))
    return Parsed(
        good.select(ROW, *(pl.col(alias).alias(alias.removeprefix("value/")) for alias in names)),
        _explain(bad, problems),
        rows.height - bad.height - good.height,
        given.row(0, named=True) if sources else {},
        unreadable,
    )


def _explain(bad: pl.DataFrame, problems: Sequence[_Problem]) -> pl.DataFrame:
    parts = [
        bad.filter(pl.col("__which") == number).select(
            ROW,
            pl.lit(p.column).alias("column"),
            (pl.col(BROKEN) if p.reason is None else pl.lit(p.reason)).alias("reason"),
            p.value.alias("value"),
        )
        for number, p in enumerate(problems)
    ]
    return pl.concat(parts).sort(ROW)


def _not_utf8(raw: RawTable, name: str, source: str) -> _Problem:
    is_text = raw.rows.schema[source] == pl.String
    damaged = pl.col(source).str.contains("\ufffd", literal=True) if raw.lossy and is_text else pl.lit(False)
    return _Problem(damaged, rejects.NOT_UTF8, name, _shown(raw, source))


def _keep(raw: RawTable, source: str, limits: Keep) -> tuple[pl.Expr, _Problem]:
    column, dtype = pl.col(source), raw.rows.schema[source]
    kept, unreadable = column.is_not_null(), pl.lit(False)
    if limits.min is not None or limits.max is not None:
        number = read_number(column, dtype)
        if number is None:
            raise _wrong_dtype(raw, source, source, "numbers")
        unreadable = ~is_blank(column, dtype) & number.is_null()
        kept &= number.is_between(
            float("-inf") if limits.min is None else limits.min, float("inf") if limits.max is None else limits.max
        )
    if limits.one_of is not None:
        text = read_text(column, dtype)
        if text is None:
            raise _wrong_dtype(raw, source, source, "text")
        kept &= text.is_in([str(value) for value in limits.one_of])
    return kept, _Problem(unreadable, rejects.UNPARSEABLE, source, _shown(raw, source))


def _read_column(table: TableCard, raw: RawTable, name: str, source: str) -> tuple[pl.Expr, list[_Problem]]:
    target = table.read_columns[name].dtype
    separator = table.separators.get(name, " " if source in raw.sequences else schemas.GENRE_SEPARATOR)
    unit = table.seconds_unit if name == schemas.SECONDS else table.timestamp_unit
    reading = read_column(name, target, raw.rows[source], unit, separator)
    if reading is None:
        raise _wrong_dtype(raw, name, source, DTYPE_WORDS[target])
    shown = _shown(raw, source)
    return reading.value, [
        _Problem(reading.unreadable, rejects.UNPARSEABLE, name, shown),
        _Problem(reading.other_unit, rejects.MIXED_UNITS, name, shown),
    ]


def _shown(raw: RawTable, source: str) -> pl.Expr:
    dtype = raw.rows.schema[source]
    if isinstance(dtype, pl.Array):
        return pl.col(source).arr.to_list().cast(pl.List(pl.String)).list.join(schemas.GENRE_SEPARATOR)
    if isinstance(dtype, pl.List):
        return pl.col(source).cast(pl.List(pl.String)).list.join(schemas.GENRE_SEPARATOR)
    return pl.col(source).cast(pl.String)


def _missing(raw: RawTable, name: str, source: str) -> DataError:
    header = raw.columns[0] if len(raw.columns) == 1 else ""
    wrong_separator = any(mark in header for mark in ",;\t|")
    what = f"the card reads {name} from it" if name != source else "it is required"
    return DataError(
        f"missing column {source!r}",
        where=str(raw.file.path),
        expected=f"a column {source!r}; {what}",
        found=f"columns: {', '.join(raw.columns)}; {did_you_mean(source, raw.columns).split('known:')[0]}".rstrip(
            "; "
        ),
        fix="the fields seem to be separated by another character: set `format` for this table in the card"
        if wrong_separator
        else f'map it in the card: columns.{name} = "…"',
    )


def _wrong_dtype(raw: RawTable, name: str, source: str, expected: str) -> DataError:
    return DataError(
        f"column {source!r} has the wrong type",
        where=f"{raw.file.path}, column {source}" + ("" if name == source else f" ({name})"),
        expected=expected,
        found=str(raw.rows.schema[source]),
        fix="write the column as the expected type, or map another one in the card",
    )
