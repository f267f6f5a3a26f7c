"""A card's source tables read into canonical frames; what breaks the contract goes to the rejects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import pandera.polars as pa
import polars as pl

from graphkit import schemas
from graphkit.datasets import rejects
from graphkit.datasets.cards import TableCard
from graphkit.datasets.files import SourceFile
from graphkit.datasets.parse import DTYPE_WORDS, Parsed, parse, source_columns, wanted_columns
from graphkit.datasets.readers import ROW, read_file
from graphkit.datasets.rejects import FILE, Rejects, TableFile
from graphkit.datasets.validate import failing_rows
from graphkit.errors import DataError
from graphkit.progress import track


@dataclass
class Source:
    """The tables of a card with their files, and what was rejected or filtered while reading them."""

    tables: list[tuple[str, TableCard]]
    files: dict[str, list[SourceFile]]
    rejects: Rejects = field(default_factory=Rejects)
    filtered: dict[str, int] = field(default_factory=dict)

    def of_kind(self, kind: str) -> list[tuple[str, TableCard]]:
        """The tables of one kind (``items``, ``interactions``, …), in the card's order."""
        return [(label, table) for label, table in self.tables if label.partition("[")[0] == kind]

    def read(self, label: str, table: TableCard) -> pl.DataFrame:
        """A table's readable rows: its canonical columns, those it lacks null, and FILE and ROW.

        Raises DataError for an empty table and for a column that is missing or wrong throughout.
        """
        parts = [self._read_file(label, table, file) for file in track(self.files[label], f"reading {label}")]
        num_rows = sum(p.rows.height + p.rejected.height + p.filtered for _, p in parts)
        first = self.files[label][0].path
        if num_rows == 0:
            raise DataError(f"the table {label} has no rows", where=str(first), fix="export it again")
        self._refuse_wrong_type(table, parts, num_rows)
        self.filtered[label] = sum(parsed.filtered for _, parsed in parts)
        self.rejects.read[label] = num_rows - self.filtered[label]
        if self.rejects.read[label] == 0:
            raise DataError(
                f"`keep` leaves no row of the table {label}",
                where=str(first),
                found=f"{num_rows:,} rows before it",
                fix="loosen `keep` in the card",
            )
        return pl.concat([_conform(table, parsed, index) for index, parsed in parts])

    def check(self, rows: pl.DataFrame, schema: pa.DataFrameSchema) -> pl.DataFrame:
        """The rows that hold to the schema; the others go to the rejects."""
        failing = failing_rows(rows, schema)
        self.rejects.add(failing)
        return (
            rows
            if failing.is_empty()
            else rows.with_row_index("index")
            .join(failing.select("index"), on="index", how="anti", maintain_order="left")
            .drop("index")
        )

    def reject(self, rows: pl.DataFrame, column: str, reason: str) -> None:
        """Reject whole rows for one column's value."""
        value = pl.col(column).cast(pl.String).alias("value")
        self.rejects.add(
            rows.select(FILE, ROW, pl.lit(column).alias("column"), pl.lit(reason).alias("reason"), value)
        )

    def _read_file(self, label: str, table: TableCard, file: SourceFile) -> tuple[int, Parsed]:
        raw = read_file(file, wanted_columns(table), table.quote)
        index = len(self.rejects.files)
        self.rejects.files.append(TableFile(label, file.name, file.path, source_columns(table, raw)))
        parsed = parse(table, raw)
        self.rejects.add(parsed.rejected.with_columns(pl.lit(index, pl.UInt32).alias(FILE)))
        return index, parsed

    def _refuse_wrong_type(self, table: TableCard, parts: Sequence[tuple[int, Parsed]], num_rows: int) -> None:
        files = [index for index, _ in parts]
        for name, column in table.read_columns.items():
            given = sum(parsed.given.get(name, 0) for _, parsed in parts)
            unreadable = sum(parsed.unreadable.get(name, 0) for _, parsed in parts)
            if unreadable != given or 2 * given < num_rows:
                continue
            here = (pl.col("column") == name) & (pl.col("reason") == rejects.UNPARSEABLE) & pl.col(FILE).is_in(files)
            first = self.rejects.rows.filter(here).row(0, named=True)
            expected = DTYPE_WORDS[column.dtype]
            unit = f" (timestamp_unit = {table.timestamp_unit!r})" if column.dtype == "datetime" else ""
            raise DataError(
                f"column {table.columns.get(name, name)!r} has the wrong type in every row",
                where=self.rejects.place(first[FILE], first[ROW], name),
                expected=expected + unit,
                found=repr(first["value"]),
                fix="map another column in the card, or correct the source",
            )


def _conform(table: TableCard, parsed: Parsed, index: int) -> pl.DataFrame:
    columns = []
    for name, column in table.read_columns.items():
        there = pl.col(name) if name in parsed.rows.columns else pl.lit(None)
        columns.append(there.cast(schemas.polars_dtype(column.dtype)).alias(name))
    return parsed.rows.select(*columns, pl.lit(index, pl.UInt32).alias(FILE), pl.col(ROW).cast(pl.UInt32))
