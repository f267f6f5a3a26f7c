"""Rejected rows: where each stood, what was wrong with it, and when there are too many of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import polars as pl

from graphkit.datasets.readers import ROW
from graphkit.errors import DataError

#: Row index of ``Rejects.files``: which file of which table a row came from.
FILE: Final = "__file"

NULL_KEY: Final = "null key"
NOT_UTF8: Final = "not UTF-8"
UNPARSEABLE: Final = "unparseable value"
MIXED_UNITS: Final = "mixed timestamp units"
NULL_TIMESTAMP: Final = "null timestamp"
FUTURE: Final = "timestamp in the future"
NAN_SECONDS: Final = "NaN seconds"
NEGATIVE_SECONDS: Final = "negative seconds"
IMPLAUSIBLE_AGE: Final = "implausible age"
UNKNOWN_TYPE: Final = "unknown item type"
UNKNOWN_SIGNAL: Final = "signal not listed in the card"
UNKNOWN_SPLIT: Final = "split value not listed in the card"
UNKNOWN_ITEM: Final = "unknown item"
DUPLICATE_ITEM: Final = "duplicate item id"
DUPLICATE_USER: Final = "duplicate user id"
BAD_WEIGHT: Final = "weight is no number above zero"

#: What to do about a reason, where a card says what the columns mean.
FIXES: Final = {
    NOT_UTF8: "convert the file to UTF-8, for example with `iconv -f latin1 -t utf-8`",
    MIXED_UNITS: "bring the rows to one unit, and check `timestamp_unit` in the card",
    FUTURE: "check `timestamp_unit` in the card, and the clock that wrote the log",
    UNKNOWN_TYPE: "add the type to `types` in the card, or filter such rows with `keep`",
    UNKNOWN_SIGNAL: "list the signal under `strong` or `weak` in the card, or filter such rows with `keep`",
    UNKNOWN_SPLIT: "name the value under [split.values] in the card, or filter such rows with `keep`",
    UNKNOWN_ITEM: "add the item to the catalogue; check that both tables map the same id column and item type",
    DUPLICATE_ITEM: "keep one row per item; where ids repeat across types, give each table its `item_type`",
    UNPARSEABLE: "correct the value, or check `columns` in the card",
}
_REASON: Final = ("column", "reason", "value")


@dataclass(frozen=True)
class TableFile:
    """One file read for one table, with the source's names of the canonical columns."""

    table: str
    name: str
    path: Path
    columns: dict[str, str]


@dataclass
class Rejects:
    """Collects rejected rows; ``read`` counts the rows each table offered, ``fixes`` say what to do by reason."""

    files: list[TableFile] = field(default_factory=list)
    read: dict[str, int] = field(default_factory=dict)
    fixes: Mapping[str, str] = field(default_factory=lambda: FIXES)
    _frames: list[pl.DataFrame] = field(default_factory=list)

    def add(self, rows: pl.DataFrame) -> None:
        """Add rows with FILE, ROW, ``column`` (canonical), ``reason`` and ``value``."""
        if rows.height:
            self._frames.append(rows.select(pl.col(FILE).cast(pl.UInt32), pl.col(ROW).cast(pl.UInt32), *_REASON))

    @property
    def rows(self) -> pl.DataFrame:
        """Everything rejected, in source order, one reason a row."""
        empty = pl.DataFrame(schema={FILE: pl.UInt32(), ROW: pl.UInt32(), **dict.fromkeys(_REASON, pl.String())})
        return pl.concat([empty, *self._frames]).sort(FILE, ROW, maintain_order=True)

    def table(self) -> pl.DataFrame:
        """What goes to ``rejected.parquet``: table, file, row (1-based), column, reason, value."""
        names = pl.DataFrame(
            [
                (index, file.table, file.name, canonical, source)
                for index, file in enumerate(self.files)
                for canonical, source in {"": "", **file.columns}.items()
            ],
            schema={FILE: pl.UInt32(), "table": pl.String(), "file": pl.String(), "column": pl.String(),
                    "source": pl.String()},
            orient="row",
        )  # fmt: skip
        files = names.filter(pl.col("column") == "").select(FILE, "table", "file")
        rows = self.rows.join(files, on=FILE, how="left", maintain_order="left")
        rows = rows.join(
            names.select(FILE, "column", "source"), on=[FILE, "column"], how="left", maintain_order="left"
        )
        return rows.select(
            "table",
            "file",
            pl.col(ROW).alias("row"),
            pl.coalesce("source", "column").alias("column"),
            "reason",
            pl.col("value").str.slice(0, 200),
        )

    def counts(self) -> dict[str, int]:
        """Rejected rows per reason, the most frequent first."""
        return dict(_counted(self.rows).rows())

    def refuse(self, strict: bool, max_share: float) -> None:
        """Raise DataError where a table lost more than ``max_share`` of its rows; if strict, where any did."""
        rows = self.rows.with_columns(
            pl.col(FILE)
            .replace_strict(range(len(self.files)), [file.table for file in self.files], return_dtype=pl.String)
            .alias("table")
        )
        for table, lost in rows.group_by("table", maintain_order=True):
            label, num_read = str(table[0]), self.read[str(table[0])]
            if lost.height > max_share * num_read:
                problem = f"{lost.height:,} of {num_read:,} rows of {label} must be rejected"
                usual = _counted(lost)["reason"][0]
                example = lost.filter(pl.col("reason") == usual)
                raise self._refusal(
                    lost, example, problem, f"at most {max_share:.0%} of them (dataset.max_rejected_share)"
                )
        if strict and rows.height:
            # The first in source order is the likely cause: a lost item takes its interactions along.
            raise self._refusal(rows, rows, f"{rows.height:,} row(s) must be rejected", "none, with --strict")

    def _refusal(self, rows: pl.DataFrame, examples: pl.DataFrame, problem: str, expected: str) -> DataError:
        counts = _counted(rows)
        first = examples.row(0, named=True)
        reason = first["reason"]
        return DataError(
            f"{problem} ({', '.join(f'{name}: {count:,}' for name, count in counts.rows())})",
            where=self.place(first[FILE], first[ROW], first["column"]),
            expected=expected,
            found=f"{first['value']!r}: {reason}" if first["value"] is not None else reason,
            fix=self.fixes.get(reason, "correct the source, or check `columns` in the card"),
        )

    def place(self, file: int, row: int, column: str) -> str:
        """Path, row and column as a person looks them up; the canonical name where the source has another."""
        there = self.files[file]
        source = there.columns.get(column, column)
        name = source if source == column else f"{source} ({column})"
        return f"{there.path}, row {row}, column {name}"


def _counted(rows: pl.DataFrame) -> pl.DataFrame:
    return rows["reason"].value_counts().sort("count", "reason", descending=[True, False])
