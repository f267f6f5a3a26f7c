"""Tables that are given as files by themselves, without a card: they have the canonical columns under their names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import polars as pl

from graphkit.datasets import rejects
from graphkit.datasets.cards import TableCard
from graphkit.datasets.files import one_file
from graphkit.datasets.parse import DTYPE_WORDS
from graphkit.datasets.rejects import Rejects
from graphkit.datasets.tables import Source
from graphkit.errors import DataError

_FIXES: Final = {
    rejects.UNPARSEABLE: "correct the value",
    rejects.NOT_UTF8: rejects.FIXES[rejects.NOT_UTF8],
}


def plain_source(
    files: Mapping[str, Path], tables: Mapping[str, type[TableCard]], fixes: Mapping[str, str]
) -> Source:
    """The ``files`` as tables of a kind each, by label; ``fixes`` say what to do about what a row is rejected for.

    Raises DataError for a file that is not there or of no known format.
    """
    cards = [(label, tables[label](files=(path.name,))) for label, path in files.items()]
    found = {label: [one_file(path)] for label, path in files.items()}
    return Source(cards, found, Rejects(fixes={**_FIXES, **fixes}))


def read_plain(source: Source, label: str) -> pl.DataFrame:
    """A table's readable rows; errors speak of columns, as there is no card to map them."""
    table = dict(source.tables)[label]
    try:
        return source.read(label, table)
    except DataError as error:
        words = {name: f"{name} ({DTYPE_WORDS[column.dtype]})" for name, column in table.canonical.items()}
        required = [words[name] for name, column in table.canonical.items() if column.required]
        optional = [words[name] for name, column in table.canonical.items() if not column.required]
        raise DataError(
            error.problem,
            where=error.where,
            expected=error.expected,
            found=error.found,
            fix=f"write the table of {label} with the columns {', '.join(required)}, "
            f"and if you have them {', '.join(optional)}",
        ) from None


def nothing_left(source: Source, path: Path, what: str, expected: str) -> DataError:
    """The refusal of a file none of whose rows can be used, by why they were rejected."""
    counts = source.rejects.counts()
    return DataError(
        f"no row of the {what} can be used",
        where=str(path),
        expected=expected,
        found=", ".join(f"{reason}: {count:,}" for reason, count in counts.items()),
        fix=source.rejects.fixes.get(next(iter(counts)), "correct the source"),
    )
