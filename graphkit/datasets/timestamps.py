"""Timestamps of any source as UTC milliseconds, and the rows whose size betrays another unit."""

from __future__ import annotations

from typing import Final, NamedTuple

import polars as pl

#: An epoch number below the limit is in this unit: 1e11 s is the year 5138, 1e11 ms is March 1973.
_LIMITS: Final = ((1e11, "s"), (1e14, "ms"), (1e17, "us"))
_PER_MS: Final = {"s": 1000.0, "ms": 1.0, "us": 0.001}
_UTC: Final = pl.Datetime("ms", "UTC")
_ISO_WITH_OFFSET: Final = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z")
_ISO_NAIVE: Final = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d")


class Moments(NamedTuple):
    """Expressions: the moment (null where it cannot be read), and whether its unit is not the column's."""

    value: pl.Expr
    other_unit: pl.Expr


def read_moments(column: pl.Expr, dtype: pl.DataType, unit: str) -> Moments | None:
    """Moments of a source column; None where its dtype cannot hold any.

    ``unit`` is s, ms, us or iso; auto takes the unit that most of the numbers imply. Text without an offset
    is UTC.
    """
    never = pl.lit(False)
    if isinstance(dtype, pl.Datetime):
        aware = column.dt.convert_time_zone("UTC") if dtype.time_zone else column.dt.replace_time_zone("UTC")
        return Moments(aware.cast(_UTC), never)
    if dtype == pl.Date:
        return Moments(column.cast(pl.Datetime("ms")).dt.replace_time_zone("UTC"), never)
    if dtype == pl.String:
        number = column.str.strip_chars().cast(pl.Float64, strict=False)
        if unit == "iso":
            return Moments(_read_iso(column), never)
        from_number = _from_number(number, unit)
        value = pl.coalesce(from_number.value, _read_iso(column)) if unit == "auto" else from_number.value
        return Moments(value, from_number.other_unit)
    if dtype.is_numeric() and unit != "iso":
        return _from_number(column.cast(pl.Float64), unit)
    return None


def _from_number(number: pl.Expr, unit: str) -> Moments:
    number = pl.when(number.is_finite()).then(number)
    implied = _implied_unit(number)
    chosen = implied.drop_nulls().mode().sort().first() if unit == "auto" else pl.lit(unit)
    factor = chosen.replace_strict(_PER_MS, default=None, return_dtype=pl.Float64)
    moment = (number * factor).floor().cast(pl.Int64, strict=False).cast(pl.Datetime("ms"))
    return Moments(moment.dt.replace_time_zone("UTC"), (implied != chosen).fill_null(False))


def _implied_unit(number: pl.Expr) -> pl.Expr:
    unit: pl.Expr = pl.when(number.is_not_null()).then(pl.lit("ns"))
    for limit, name in reversed(_LIMITS):
        unit = pl.when(number.abs() < limit).then(pl.lit(name)).otherwise(unit)
    return unit


def _read_iso(text: pl.Expr) -> pl.Expr:
    text = text.str.strip_chars().str.replace(" ", "T", literal=True)
    aware = [text.str.to_datetime(f, time_unit="ms", time_zone="UTC", strict=False) for f in _ISO_WITH_OFFSET]
    naive = [text.str.to_datetime(f, time_unit="ms", strict=False).dt.replace_time_zone("UTC") for f in _ISO_NAIVE]
    return pl.coalesce(*aware, *naive)
