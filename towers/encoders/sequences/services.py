"""Services: what parts a user's behaviours, by a column of the catalogue or by the signal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import BaseModel, ConfigDict

from graphkit import schemas
from graphkit.errors import InputError

Ints = npt.NDArray[np.int64]


class Services(BaseModel):
    """The values of ``column`` that are a service each, and as the last one ``other``, where there is anything else.

    ``counts`` says how many rows of training each had.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    column: str
    values: tuple[str, ...]
    counts: tuple[int, ...]

    @property
    def names(self) -> tuple[str, ...]:
        return (*self.values, "other")[: len(self.counts)]

    def codes(self, values: pl.Series) -> Ints:
        """The service of each value: int64 [n]; of one that is no service's own, the last."""
        codes, last = {value: code for code, value in enumerate(self.values)}, len(self.counts) - 1
        mapped = values.cast(pl.String).replace_strict(codes, default=last, return_dtype=pl.Int64)
        return mapped.fill_null(last).to_numpy()


def find_services(
    column: str, counts: Mapping[str | None, int], known: Sequence[str], most: int, several: bool
) -> Services:
    """The services of training rows, of which ``counts`` have each value of ``column`` (None: not known).

    The ``most`` commonest are services, those of ``known`` (the dataset's types) first and in its order. Raises
    InputError where they must be ``several`` and there is one alone: there is nothing to contrast then.
    """
    table = {value: count for value, count in counts.items() if value is not None}
    common = sorted(table, key=lambda value: (-table[value], value))[:most]
    ordered = [*(value for value in known if value in common), *(value for value in common if value not in known)]
    rest = sum(counts.values()) - sum(table[value] for value in ordered)
    found = [*(table[value] for value in ordered), *([rest] if rest else [])]
    if several and len(found) < 2:
        raise InputError(
            "the behaviours are all of one service",
            where=f"the values of {column}",
            expected="two or more services, to draw a user's vectors in one towards those in another",
            found=", ".join(ordered) or "none",
            fix="choose another column (clue.service), or train the encoder simclr, which needs no services",
        )
    return Services(column=column, values=tuple(ordered), counts=tuple(found))


def first_values(items: pl.DataFrame, column: str) -> pl.Series:
    """A catalogue's values of ``column``; of several genres the first, null where there is none."""
    values = items[column].cast(pl.String)
    if column == schemas.GENRE:
        values = values.str.split(schemas.GENRE_SEPARATOR).list.first().str.strip_chars()
    return values.replace("", None)
