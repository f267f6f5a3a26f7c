"""The log day by day: how many rows a day has, and a digest that tells whether two logs agree on it.

A digest is the sum of one hash a row, over external ids: it depends neither on how users and items are numbered nor
on the order of rows. Text is hashed by Polars, so digests compare within one of its versions.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.ties import tie_order

DAY: Final = "day"
ROWS: Final = "rows"
DIGEST: Final = "digest"
_DAY_MS: Final = 86_400_000


def write_days(folder: Path) -> None:
    """Write ``days.parquet`` (``day`` date in UTC, ``rows``, ``digest`` u64) of a dataset whose tables are written.

    Rows without a timestamp are of no day: without timestamps the table is empty.
    """
    users = pl.read_parquet(folder / schemas.USERS_FILE).sort(schemas.USER)[schemas.USER_ID].hash().to_numpy()
    items = pl.read_parquet(folder / schemas.ITEMS_FILE)
    by_type = {
        str(item_type): (str(item_type) + "\0" + frame.sort(schemas.ITEM)[schemas.ITEM_ID]).hash().to_numpy()
        for (item_type,), frame in items.partition_by(schemas.ITEM_TYPE, as_dict=True).items()
    }
    parts = [
        _days(rows, users, by_type)
        for path in sorted((folder / schemas.INTERACTIONS_DIR).glob("*.parquet"))
        for rows in [pl.read_parquet(path).drop_nulls(schemas.TIMESTAMP)]
    ]
    # Unsigned sums wrap around, as they should.
    days = pl.concat(parts).group_by(DAY).agg(pl.col(ROWS, DIGEST).sum()).sort(DAY)
    days.with_columns(pl.col(DAY).cast(pl.Date)).write_parquet(folder / schemas.DAYS_FILE)


def _days(
    rows: pl.DataFrame, users: npt.NDArray[np.uint64], items: dict[str, npt.NDArray[np.uint64]]
) -> pl.DataFrame:
    parts = [
        of_type.select(
            (pl.col(schemas.TIMESTAMP).to_physical() // _DAY_MS).cast(pl.Int32).alias(DAY),
            pl.Series(DIGEST, _hashes(of_type, users, items[str(item_type)])),
        )
        for (item_type,), of_type in rows.partition_by(schemas.ITEM_TYPE, as_dict=True).items()
    ]
    empty = pl.DataFrame(schema={DAY: pl.Int32, DIGEST: pl.UInt64})
    hashed = pl.concat([empty, *parts])
    return hashed.group_by(DAY).agg(pl.len().alias(ROWS), pl.col(DIGEST).sum())


def _hashes(
    rows: pl.DataFrame, users: npt.NDArray[np.uint64], items: npt.NDArray[np.uint64]
) -> npt.NDArray[np.uint64]:
    """One uint64 a row, of all that is known of it but numbers, and its side: by time, that follows."""
    columns: list[npt.NDArray[Any]] = [
        users[rows[schemas.USER].to_numpy()],
        items[rows[schemas.ITEM].to_numpy()],
        rows[schemas.SIGNAL].hash().to_numpy(),
        rows[schemas.TIMESTAMP].to_physical().to_numpy(),
        rows[schemas.SECONDS].fill_null(-1).to_numpy().view(np.uint32),
    ]
    key = np.zeros(rows.height, np.uint64)
    for place, column in enumerate(columns):
        key += tie_order(column, place)
    return tie_order(key, len(columns))
