"""Source files read as they are: Parquet, CSV, TSV, JSON Lines. Nothing is judged here but broken syntax."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from graphkit.datasets.files import SourceFile, check_content, open_binary
from graphkit.errors import DataError

#: 1-based number of the data row in its file.
ROW: Final = "__row"
#: What broke the row's syntax, null if nothing did, and the text that shows it.
BROKEN: Final = "__broken"
BROKEN_TEXT: Final = "__broken_text"
#: Joins the elements of a JSON list until the values are parsed.
LIST_SEPARATOR: Final = "\x1f"
_EXTRA: Final = "__extra"
_JSON_LINES_A_CHUNK: Final = 50_000
_SHOWN_CHARACTERS: Final = 200


@dataclass(frozen=True)
class RawTable:
    """One file's rows under the source's own column names.

    ``rows`` has the wanted columns that exist, ROW, BROKEN and BROKEN_TEXT; ``columns`` names all the file
    has. In a ``lossy`` file, bytes that are not UTF-8 were read as U+FFFD. ``sequences`` are text columns
    that hold several values separated by spaces (RecBole).
    """

    file: SourceFile
    rows: pl.DataFrame
    columns: tuple[str, ...]
    lossy: bool = False
    sequences: frozenset[str] = frozenset()


def read_file(file: SourceFile, wanted: Sequence[str], quote: str = '"') -> RawTable:
    """Read the ``wanted`` columns of a file. Raises DataError for a file that cannot be read as its format."""
    utf8 = check_content(file)
    try:
        match file.format:
            case "parquet":
                raw = _read_parquet(file, wanted)
            case "jsonl":
                raw = _read_jsonl(file, wanted, lossy=not utf8)
            case "recbole":
                from graphkit.datasets.recbole import read_atomic

                raw = read_atomic(file, wanted, lossy=not utf8)
            case form:
                raw = read_delimited(file, wanted, "\t" if form == "tsv" else ",", quote, lossy=not utf8)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise DataError(
            f"a file cannot be read as {file.format}",
            where=str(file.path),
            found=str(error).splitlines()[0],
            fix="export it again, or set `format` for this table in the card",
        ) from None
    return _with_partitions(raw)


def _with_partitions(raw: RawTable) -> RawTable:
    new = {name: value for name, value in raw.file.partitions.items() if name not in raw.columns}
    literals = [pl.lit(value, pl.String).alias(name) for name, value in new.items()]
    return RawTable(raw.file, raw.rows.with_columns(literals), (*raw.columns, *new), raw.lossy, raw.sequences)


def _unbroken() -> list[pl.Expr]:
    return [pl.lit(None, pl.String).alias(BROKEN), pl.lit(None, pl.String).alias(BROKEN_TEXT)]


def _read_parquet(file: SourceFile, wanted: Sequence[str]) -> RawTable:
    schema = pl.read_parquet_schema(file.path)
    names = [name for name in dict.fromkeys(wanted) if name in schema]
    lossy = any(schema[name] == pl.Binary for name in names)
    try:
        scan = pl.scan_parquet(file.path).select(names)
        rows = _read_parquet_lossy(file, names) if lossy else scan.collect()
    except pl.exceptions.ComputeError as error:
        if "UTF-8" not in str(error):
            raise
        rows, lossy = _read_parquet_lossy(file, names), True
    return RawTable(file, rows.with_row_index(ROW, offset=1).with_columns(_unbroken()), tuple(schema), lossy)


def _read_parquet_lossy(file: SourceFile, names: Sequence[str]) -> pl.DataFrame:
    # Polars refuses a whole file for one byte that is not UTF-8; pyarrow hands the bytes over unchecked.
    table = pq.read_table(file.path, columns=list(names))
    columns = []
    for name in names:
        column = table[name]
        if pa.types.is_string(column.type) or pa.types.is_large_string(column.type):
            column = column.cast(pa.large_binary())
        series = pl.Series(name, column)
        if series.dtype == pl.Binary:
            text = [None if value is None else value.decode("utf-8", "replace") for value in series]
            series = pl.Series(name, text, dtype=pl.String)
        columns.append(series)
    return pl.DataFrame(columns)


def read_delimited(file: SourceFile, wanted: Sequence[str], separator: str, quote: str, lossy: bool) -> RawTable:
    """Read separated text, every field as text; a row with more fields than the header is BROKEN."""
    options: dict[str, Any] = {
        "separator": separator,
        "quote_char": quote or None,
        "encoding": "utf8-lossy" if lossy else "utf8",
    }
    header = pl.read_csv(file.path, n_rows=0, infer_schema=False, **options).columns
    names = [name for name in dict.fromkeys(wanted) if name in header]
    rows = (
        pl.scan_csv(
            file.path,
            has_header=False,
            skip_rows=1,
            schema=dict.fromkeys((*header, _EXTRA), pl.String()),
            truncate_ragged_lines=True,
            missing_columns="insert",
            extra_columns="ignore",
            row_index_name=ROW,
            row_index_offset=1,
            **options,
        )
        .filter(~pl.all_horizontal(pl.col(*header).is_null()))  # blank lines
        .select(
            ROW,
            *names,
            pl.when(pl.col(_EXTRA).is_not_null()).then(pl.lit("too many fields")).alias(BROKEN),
            pl.col(_EXTRA).alias(BROKEN_TEXT),
        )
        .collect()
    )
    return RawTable(file, rows, tuple(header), lossy)


def _read_jsonl(file: SourceFile, wanted: Sequence[str], lossy: bool) -> RawTable:
    schema = dict.fromkeys((*dict.fromkeys(wanted), BROKEN, BROKEN_TEXT), pl.String()) | {ROW: pl.UInt32()}
    keys: dict[str, None] = {}
    frames = [pl.DataFrame(schema=schema)]
    with open_binary(file) as stream:
        lines = _json_rows(stream, keys)
        while chunk := list(islice(lines, _JSON_LINES_A_CHUNK)):
            frames.append(pl.DataFrame(chunk, schema=schema))
    absent = [name for name in schema if name in wanted and name not in keys]
    return RawTable(file, pl.concat(frames).drop(absent), tuple(keys), lossy)


def _json_rows(stream: Iterator[bytes], keys: dict[str, None]) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(stream, start=1):
        text = line.decode("utf-8-sig" if number == 1 else "utf-8", "replace").strip()
        if not text:
            continue
        try:
            found = json.loads(text)
        except ValueError:
            found = None
        if isinstance(found, dict):
            keys.update(dict.fromkeys(found))
            yield {ROW: number} | {key: _as_text(value) for key, value in found.items()}
        else:
            yield {ROW: number, BROKEN: "not a JSON object", BROKEN_TEXT: text[:_SHOWN_CHARACTERS]}


def _as_text(value: Any) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, list):
        return LIST_SEPARATOR.join(str(element) for element in value)
    return json.dumps(value)
