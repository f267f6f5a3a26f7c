"""A Parquet file written frame by frame, so that a table larger than memory can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import polars as pl
import pyarrow.parquet as pq

#: Rows of a row group: the same whatever frames they came in, so that the file's bytes are.
_ROWS_PER_GROUP: Final = 1_000_000


class GrowingTable:
    """A Parquet file that grows frame by frame; its folder is made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pq.ParquetWriter | None = None
        self._waiting: list[pl.DataFrame] = []

    def __enter__(self) -> GrowingTable:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return self

    def append(self, frame: pl.DataFrame) -> None:
        self._waiting.append(frame)
        if sum(waiting.height for waiting in self._waiting) >= _ROWS_PER_GROUP:
            self._write(pl.concat(self._waiting))

    def _write(self, rows: pl.DataFrame, last: bool = False) -> None:
        """Write whole row groups; keep the rest, unless it is the ``last``."""
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, rows.clear().to_arrow().schema, compression="zstd")
        whole = rows.height if last else rows.height // _ROWS_PER_GROUP * _ROWS_PER_GROUP
        for first in range(0, whole, _ROWS_PER_GROUP):
            self._writer.write_table(rows.slice(first, min(_ROWS_PER_GROUP, whole - first)).rechunk().to_arrow())
        self._waiting = [rows.slice(whole)]

    def __exit__(self, *_: Any) -> None:
        if self._waiting:
            self._write(pl.concat(self._waiting), last=True)
        if self._writer is not None:
            self._writer.close()
