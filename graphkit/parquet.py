"""A Parquet file written frame by frame, so that a table larger than memory can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq


class GrowingTable:
    """A Parquet file that grows frame by frame; its folder is made."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._writer: pq.ParquetWriter | None = None

    def __enter__(self) -> GrowingTable:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        return self

    def append(self, frame: pl.DataFrame) -> None:
        table = frame.to_arrow()
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._path, table.schema, compression="zstd")
        self._writer.write_table(table)

    def __exit__(self, *_: Any) -> None:
        if self._writer is not None:
            self._writer.close()
