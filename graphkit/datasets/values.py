"""Source values as canonical ones: an expression per dtype, null where a value cannot be read."""

from __future__ import annotations

from typing import Final, NamedTuple

import polars as pl

from graphkit import schemas
from graphkit.datasets.readers import LIST_SEPARATOR
from graphkit.datasets.timestamps import read_moments

_WHOLE: Final[dict[str, tuple[pl.DataType, int, int]]] = {
    "i16": (pl.Int16(), -(2**15), 2**15 - 1),
    "u32": (pl.UInt32(), 0, 2**32 - 1),
}


class Reading(NamedTuple):
    """Expressions: the value (null where it cannot be read), where that is so, and where the unit differs."""

    value: pl.Expr
    unreadable: pl.Expr
    other_unit: pl.Expr


def read_column(name: str, target: str, source: pl.Series, unit: str, separator: str) -> Reading | None:
    """A source column (its name and dtype count) as the canonical column ``name`` of dtype ``target``.

    None where the source's dtype can hold no such value. ``unit`` is that of timestamps or seconds,
    ``separator`` stands between several values of one text.
    """
    column, dtype, never = pl.col(source.name), source.dtype, pl.lit(False)
    if dtype == pl.Null:
        return Reading(pl.lit(None, schemas.polars_dtype(target)), never, never)
    other_unit, value = never, None
    if target == "datetime":
        if moments := read_moments(column, dtype, unit):
            value, other_unit = moments
    elif target == "f32":
        number = read_number(column, dtype)
        value = None if number is None else (number / 1000 if unit == "ms" else number).cast(pl.Float32)
    elif target in _WHOLE:
        value = read_whole(column, dtype, target)
    elif target == "list[f32]":
        value = read_numbers(column, dtype, separator)
    elif name == schemas.GENRE:
        value = read_genres(column, dtype, separator)
    else:
        value = read_list(column, dtype, separator) if target == "list[str]" else read_text(column, dtype)
    if value is None:
        return None
    blank = is_blank(column, dtype)
    if dtype.is_float() and target != "f32":
        blank |= column.is_nan()  # how pandas writes a missing value
    unreadable = never if name == schemas.GENRE else ~blank & value.is_null()
    return Reading(value, unreadable, other_unit)


def read_text(column: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    """Text of a source column (empty text is null); None where its dtype is no single value.

    Whole floats lose their ".0": pandas makes floats of integer ids as soon as one is missing.
    """
    if dtype == pl.String:
        # A list inside one JSON value is no text.
        return pl.when((column != "") & ~column.str.contains(LIST_SEPARATOR, literal=True)).then(column)
    if dtype.is_float():
        whole = column.cast(pl.Int64, strict=False)
        is_whole = (whole.cast(pl.Float64) == column.cast(pl.Float64)).fill_null(False)
        return pl.when(is_whole).then(whole.cast(pl.String)).otherwise(column.fill_nan(None).cast(pl.String))
    if dtype.is_nested() or dtype in (pl.Object, pl.Binary):
        return None
    return column.cast(pl.String)


def read_number(column: pl.Expr, dtype: pl.DataType) -> pl.Expr | None:
    """Float64 of a source column; None where its dtype is no number."""
    if dtype == pl.String:
        return column.str.strip_chars().cast(pl.Float64, strict=False)
    return column.cast(pl.Float64) if dtype.is_numeric() else None


def read_whole(column: pl.Expr, dtype: pl.DataType, target: str) -> pl.Expr | None:
    """Whole numbers (``i16``, ``u32``) of a source column; a fraction or a value out of range is null."""
    number = read_number(column, dtype)
    if number is None:
        return None
    kind, low, high = _WHOLE[target]
    fits = number.is_between(low, high) & (number == number.floor())
    return pl.when(fits).then(number).cast(kind, strict=False)


def read_list(column: pl.Expr, dtype: pl.DataType, separator: str) -> pl.Expr | None:
    """Lists of stripped, non-empty text from a list column or from separated text."""
    if isinstance(dtype, pl.List):
        parts = column.cast(pl.List(pl.String))
    elif dtype == pl.String:
        parts = column.str.replace_all(LIST_SEPARATOR, separator, literal=True).str.split(separator)
    else:
        return None
    stripped = parts.list.eval(pl.element().str.strip_chars())
    return stripped.list.eval(pl.element().filter(pl.element().is_not_null() & (pl.element() != "")))


def read_numbers(column: pl.Expr, dtype: pl.DataType, separator: str) -> pl.Expr | None:
    """Lists of Float32 from a list or array column or from separated text; an element that is no number is null."""
    if isinstance(dtype, pl.Array):
        column, dtype = column.arr.to_list(), pl.List(dtype.inner)
    if isinstance(dtype, pl.List):
        numeric = isinstance(dtype.inner, pl.DataType) and dtype.inner.is_numeric()
        return column.cast(pl.List(pl.Float32)) if numeric else None
    parts = read_list(column, dtype, separator)
    return None if parts is None else parts.list.eval(pl.element().cast(pl.Float32, strict=False))


def read_genres(column: pl.Expr, dtype: pl.DataType, separator: str) -> pl.Expr | None:
    """Genres joined by the canonical separator; null where there is none."""
    genres = read_list(column, dtype, separator)
    if genres is None:
        return read_text(column, dtype)
    return pl.when(genres.list.len() > 0).then(genres.list.join(schemas.GENRE_SEPARATOR))


def is_blank(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Whether a source value says nothing: null or blank text."""
    if dtype == pl.String:
        return column.is_null() | (column.str.strip_chars() == "")
    return column.is_null()
