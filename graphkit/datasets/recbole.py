"""RecBole's atomic files (``.inter``, ``.item``, ``.user``): tab-separated, each column named ``name:type``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import polars as pl

from graphkit.datasets.files import SourceFile
from graphkit.datasets.readers import BROKEN, BROKEN_TEXT, ROW, RawTable, read_delimited
from graphkit.errors import DataError

_TYPES: Final = ("token", "token_seq", "float", "float_seq")


def read_atomic(file: SourceFile, wanted: Sequence[str], lossy: bool) -> RawTable:
    """Read an atomic file under its plain column names; ``*_seq`` columns are marked as sequences.

    Raises DataError where a column's header is not ``name:type`` with a type that RecBole knows.
    """
    whole = read_delimited(file, (), "\t", "", lossy)
    types: dict[str, str] = {}
    for header in whole.columns:
        name, _, kind = header.rpartition(":")
        if not name or kind not in _TYPES:
            raise DataError(
                "not the header of a RecBole atomic file",
                where=f"{file.path}, column {header!r}",
                expected=f"tab-separated name:type, type one of {', '.join(_TYPES)}",
                found=repr(header[:80]),
                fix="correct the header, or set `format` for this table in the card",
            )
        types[name] = kind
    headers = {name: f"{name}:{kind}" for name, kind in types.items() if name in wanted}
    raw = read_delimited(file, tuple(headers.values()), "\t", "", lossy)
    rows = raw.rows.select(
        ROW, *(pl.col(header).alias(name) for name, header in headers.items()), BROKEN, BROKEN_TEXT
    )
    sequences = frozenset(name for name, kind in types.items() if kind.endswith("_seq"))
    return RawTable(file, rows, tuple(types), lossy, sequences)
