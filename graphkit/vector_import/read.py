"""A table of user vectors, read and checked against the dataset's users."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.datasets import rejects
from graphkit.datasets.cards import UserVectorsCard
from graphkit.datasets.plain_files import nothing_left, plain_source, read_plain
from graphkit.datasets.rejects import Rejects
from graphkit.datasets.tables import Source
from graphkit.datasets.validate import user_vectors_schema
from graphkit.errors import DataError
from graphkit.graph.store import FIT, SERVE
from graphkit.user_vectors import FOLDS, UserVectors

UNKNOWN_USER: Final = "unknown user"
NOT_FINITE: Final = "value that is no finite number"
UNKNOWN_MOMENT: Final = "as_of is neither fit nor serve"
SECOND_VECTOR: Final = "second vector of a user"

_FIXES: Final = {
    UNKNOWN_USER: "leave the user out, or give the user a row in the dataset's users or interactions",
    NOT_FINITE: "give numbers alone, or leave the user out: no vector counts as unknown",
    UNKNOWN_MOMENT: "write fit, serve, or nothing for a vector of both moments",
    SECOND_VECTOR: "keep one row per user and moment",
    rejects.NULL_KEY: "give every row a user_id and a vector",
}
_MOMENTS: Final = (FIT, SERVE)

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class ReadVectors:
    """One name's vectors, the rows that cannot be used, and how many users have one as of each moment.

    ``undated`` counts the rows without ``as_of``: one vector for both moments.
    """

    vectors: UserVectors
    rejected: Rejects
    known: dict[str, int]
    undated: int


def read_vectors(name: str, path: Path, users: pl.DataFrame, timed: bool, strict: bool = False) -> ReadVectors:
    """Read the vectors ``name`` of ``users`` (``user_id``, ``user``); rows that cannot be used go to the rejects.

    ``strict`` refuses such rows. A user without a row has zeros. Raises DataError for a file that cannot be read, a
    missing column, vectors of different widths, and where no row is left.
    """
    source = plain_source({name: path}, {name: UserVectorsCard}, _FIXES)
    rows = _usable(source, source.check(read_plain(source, name), user_vectors_schema()), users)
    source.rejects.refuse(strict, max_share=1)
    if rows.is_empty():
        raise nothing_left(source, path, "user vectors", "a vector of one user or more of the dataset")
    matrix = _matrix(rows, path)
    fit, serve = (_as_of(moment, rows, matrix, users.height) for moment in _MOMENTS)
    known = {moment: int(found.any(axis=1).sum()) for moment, found in zip(_MOMENTS, (fit, serve), strict=True)}
    vectors = UserVectors(name, (fit,) * (1 if timed else FOLDS), serve)
    return ReadVectors(vectors, source.rejects, known, rows[schemas.AS_OF].null_count())


def _usable(source: Source, rows: pl.DataFrame, users: pl.DataFrame) -> pl.DataFrame:
    """Rows of known users, finite, of a known moment, one a user and moment; ``user`` is their number."""
    rows = rows.join(
        users.select(schemas.USER_ID, schemas.USER), on=schemas.USER_ID, how="left", maintain_order="left"
    )
    finite = pl.col(schemas.VECTOR).list.eval(pl.element().is_finite() & pl.element().is_not_null()).list.all()
    moment = pl.col(schemas.AS_OF)
    for column, good, reason in (
        (schemas.USER_ID, pl.col(schemas.USER).is_not_null(), UNKNOWN_USER),
        (schemas.VECTOR, finite.fill_null(False), NOT_FINITE),
        (schemas.AS_OF, moment.is_null() | moment.is_in(_MOMENTS), UNKNOWN_MOMENT),
    ):
        is_good = rows.select(good).to_series()
        source.reject(_shown(rows.filter(~is_good)), column, reason)
        rows = rows.filter(is_good)
    again = ~rows.select(pl.struct(schemas.USER, schemas.AS_OF).is_first_distinct()).to_series()
    # A vector of both moments beside one of either is a second one, too.
    both = rows.filter(moment.is_null())[schemas.USER]
    again = again | rows.select(moment.is_not_null() & pl.col(schemas.USER).is_in(both.implode())).to_series()
    source.reject(_shown(rows.filter(again)), schemas.USER_ID, SECOND_VECTOR)
    return rows.filter(~again)


def _shown(rows: pl.DataFrame) -> pl.DataFrame:
    """The vector as text, as a rejected value is shown."""
    return rows.with_columns(pl.col(schemas.VECTOR).cast(pl.List(pl.String)).list.join(schemas.GENRE_SEPARATOR))


def _matrix(rows: pl.DataFrame, path: Path) -> Floats:
    widths = rows[schemas.VECTOR].list.len()
    width = widths[0]
    if width == 0 or (widths != width).any():
        other = rows.row(int((widths != width).arg_max() or 0), named=True)
        raise DataError(
            "the vectors are not of one width" if width else "a vector without a value",
            where=str(path),
            expected=f"{width} values, as the first vector has" if width else "one value or more",
            found=f"{len(other[schemas.VECTOR])} values for the user {other[schemas.USER_ID]!r}",
            fix="give vectors of one encoder alone; other ones go under another name, in a file of their own",
        )
    matrix: Floats = rows[schemas.VECTOR].explode().to_numpy().astype(np.float32).reshape(rows.height, width)
    return matrix


def _as_of(moment: str, rows: pl.DataFrame, matrix: Floats, num_users: int) -> Floats:
    """The vectors of a moment, float32 [num_users, width]; zeros where there is none."""
    chosen = rows.select(pl.col(schemas.AS_OF).is_null() | (pl.col(schemas.AS_OF) == moment)).to_series().to_numpy()
    out = np.zeros((num_users, matrix.shape[1]), np.float32)
    out[rows[schemas.USER].to_numpy()[chosen]] = matrix[chosen]
    return out
