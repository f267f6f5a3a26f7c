"""The source's files: found by the card's patterns, their formats told, their contents sniffed."""

from __future__ import annotations

import codecs
import gzip
import os
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Final, cast
from urllib.parse import unquote

from graphkit.datasets.cards import Card, TableCard
from graphkit.errors import DataError, did_you_mean

#: Ending (without .gz) -> format.
ENDINGS: Final = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".inter": "recbole",
    ".item": "recbole",
    ".user": "recbole",
}
_HIVE_NULL: Final = "__HIVE_DEFAULT_PARTITION__"
_BLOCK_BYTES: Final = 1 << 20
_SIGNATURES: Final = {
    b"PAR1": "a Parquet file",
    b"\x1f\x8b": "gzip-compressed data",
    b"PK\x03\x04": "a ZIP archive (or a spreadsheet)",
    b"\xff\xfe": "UTF-16 text",
    b"\xfe\xff": "UTF-16 text",
    b"\x28\xb5\x2f\xfd": "zstd-compressed data",
}


@dataclass(frozen=True)
class SourceFile:
    """One file of a table; ``name`` is its path inside the source, ``partitions`` its hive columns."""

    path: Path
    name: str
    format: str
    partitions: dict[str, str | None] = field(default_factory=dict)

    @property
    def gzipped(self) -> bool:
        return self.path.suffix == ".gz"


def find_files(card: Card, source: Path) -> dict[str, list[SourceFile]]:
    """The files of each table of the card, by table label, in sorted order.

    ``source`` is the folder that the card's patterns start from; a card with a single interactions table
    also takes that table's file itself. Raises DataError where nothing is found.
    """
    if not source.exists():
        raise DataError("the source does not exist", where=str(source), fix="give the folder that holds the files")
    tables = card.tables()
    if not source.is_file():
        return {label: _expand(table, table.files, source, label) for label, table in tables}
    if len(card.interactions) != 1:
        raise DataError(
            "the source is one file, but the card reads several tables",
            where=str(source),
            fix=f"give the folder {source.parent}",
        )
    return {
        label: _expand(table, (source.name,) if label == "interactions" else table.files, source.parent, label)
        for label, table in tables
    }


def one_file(path: Path) -> SourceFile:
    """A table that is given as a file by itself; raises DataError where it is none, or its ending names no format."""
    if path.is_file() and _ending(path) in ENDINGS:
        return _source_file(path, path.parent, "auto")
    problem = "cannot tell the format of a file by its ending" if path.is_file() else "this is a folder"
    raise DataError(
        problem if path.exists() else "there is no such file",
        where=str(path),
        expected=f"a file that ends in {', '.join(ENDINGS)} (text also with .gz)",
    )


def _expand(table: TableCard, patterns: tuple[str, ...], base: Path, label: str) -> list[SourceFile]:
    found: dict[Path, SourceFile] = {}
    for pattern in patterns:
        paths = _match(pattern, base, any_ending=table.format != "auto")
        if not paths:
            raise _nothing_there(pattern, base, label)
        found |= {path: _source_file(path, base, table.format) for path in paths}
    return [found[path] for path in sorted(found)]


def _match(pattern: str, base: Path, any_ending: bool) -> list[Path]:
    plain = base / pattern
    if plain.is_file():
        return [plain]
    roots = [plain] if plain.is_dir() else sorted(base.glob(pattern))
    files = [path for root in roots for path in (root.rglob("*") if root.is_dir() else [root]) if path.is_file()]
    return [p for p in files if p.name[0] not in "._" and (any_ending or _ending(p) in ENDINGS)]


def _ending(path: Path) -> str:
    return Path(path.stem if path.suffix == ".gz" else path.name).suffix.lower()


def _source_file(path: Path, base: Path, declared: str) -> SourceFile:
    name = Path(os.path.relpath(path, base)).as_posix()
    form = ENDINGS.get(_ending(path)) if declared == "auto" else declared
    if form is None:
        raise DataError(
            "cannot tell the format of a file by its ending",
            where=str(path),
            expected=", ".join(ENDINGS) + " (text also with .gz)",
            fix='set format = "csv" (or tsv, jsonl, parquet, recbole) for this table in the card',
        )
    folders = (part.partition("=") for part in Path(name).parts[:-1])
    partitions = {key: None if value == _HIVE_NULL else unquote(value) for key, equals, value in folders if equals}
    return SourceFile(path, name, form, partitions)


def _nothing_there(pattern: str, base: Path, label: str) -> DataError:
    there = sorted(path.name for path in base.iterdir())[:20]
    return DataError(
        f"no file for the table {label}",
        where=str(base / pattern),
        expected=f"a file, a folder of files, or a glob that matches ({pattern!r} in the card)",
        found=did_you_mean(pattern, there) if there else "an empty folder",
        fix="correct `files` in the card, or give another source folder",
    )


def open_binary(file: SourceFile) -> IO[bytes]:
    """The file's bytes, decompressed."""
    return cast("IO[bytes]", gzip.open(file.path)) if file.gzipped else file.path.open("rb")


def check_content(file: SourceFile) -> bool:
    """Whether a text file is UTF-8 throughout (Parquet: True); raises DataError if it is not what it says.

    An empty file, broken compression, and a file of another kind than its ending are refused here.
    """
    if file.path.stat().st_size == 0:
        raise DataError("an empty file", where=str(file.path), expected="a header and rows", found="0 bytes")
    if file.format == "parquet":
        _check_parquet(file)
        return True
    try:
        with open_binary(file) as stream:
            _check_text(file, stream.read(4096))
        with open_binary(file) as stream:
            return _is_utf8(stream)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise _not_what_it_says(file, f"broken gzip data ({error})") from None


def _check_parquet(file: SourceFile) -> None:
    with file.path.open("rb") as stream:
        head = stream.read(64)
        stream.seek(max(0, file.path.stat().st_size - 4))
        tail = stream.read(4)
    if head[:4] != b"PAR1":
        raise _not_what_it_says(file, _describe(head))
    if tail != b"PAR1":
        raise _not_what_it_says(file, "a Parquet file that was cut short")


def _check_text(file: SourceFile, head: bytes) -> None:
    first = head.removeprefix(codecs.BOM_UTF8).lstrip()[:1]
    binary = b"\0" in head or any(head.startswith(signature) for signature in _SIGNATURES)
    if binary or not first or (file.format == "jsonl") != (first == b"{"):
        raise _not_what_it_says(file, _describe(head) if head.strip() else "blank lines")


def _describe(head: bytes) -> str:
    for signature, kind in _SIGNATURES.items():
        if head.startswith(signature):
            return kind
    if b"\0" in head:
        return "binary data"
    start = head.lstrip()[:40].splitlines()[0].decode("utf-8", "replace") if head.strip() else ""
    if "\ufffd" in start:
        return "binary data"
    kind = {"{": "JSON text", "[": "a JSON array", "<": "HTML or XML"}.get(start[:1], "text")
    return f"{kind} that starts with {start!r}"


def _not_what_it_says(file: SourceFile, found: str) -> DataError:
    kinds = {"parquet": "Parquet", "csv": "CSV", "tsv": "TSV", "recbole": "a RecBole atomic file"}
    kind = kinds.get(file.format, "JSON Lines (one object a line)")
    return DataError(
        "a file is not what its ending says",
        where=str(file.path),
        expected=kind,
        found=found,
        fix="export it again, rename it, or set `format` for this table in the card",
    )


def _is_utf8(stream: IO[bytes]) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        while block := stream.read(_BLOCK_BYTES):
            decoder.decode(block)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True
