"""What a user encoder is given: some users with all that is known of them as of a moment.

Batch and near-real-time encoding build the same value, so that they give the same vectors.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final
from zlib import crc32

import numpy as np
import polars as pl

from graphkit import schemas
from graphkit.ties import tie_order

_TIE: Final = "tie"
_PROFILE: Final = {
    name: schemas.polars_dtype(column.dtype)
    for name, column in schemas.USERS.items()
    if name != schemas.BIRTH_YEAR  # a dataset holds ages
}


@dataclass(frozen=True)
class Users:
    """n users as of a moment; nothing in here is of that moment or later.

    ``rows``: what they met, ``user`` (u32, their place 0..n-1), ``item_type``, ``item`` (u32, within its type),
    ``signal``, ``timestamp``, ``seconds``, by user, oldest first, equals in an order that favours no item.
    ``profiles``: a row a user, ``user_id`` and ``age``, ``country``, ``registered_at``, ``onboarding_items`` (ids),
    ``onboarding_languages``, null where not known, or where the user had not registered by then.
    ``onboarding``: their onboarding items that the catalogue has, ``user``, ``item_type``, ``item``.
    ``as_of``: each user's moment, datetime [n]; None without timestamps.
    """

    rows: pl.DataFrame
    profiles: pl.DataFrame
    onboarding: pl.DataFrame
    as_of: pl.Series | None

    @property
    def count(self) -> int:
        return self.profiles.height


def known_users(
    rows: pl.DataFrame, profiles: pl.DataFrame, catalogue: pl.DataFrame, as_of: datetime | pl.Series | None
) -> Users:
    """The users of ``profiles`` (``user_id`` and any of a dataset's users columns) with those of ``rows`` (``user``
    is the place in ``profiles``) that are older than ``as_of``, one moment or one of each user's; ``catalogue`` has
    ``item_type``, ``item`` and ``item_id``."""
    if isinstance(as_of, datetime):
        as_of = pl.repeat(as_of, profiles.height, dtype=pl.Datetime("us", "UTC"), eager=True)
    if as_of is not None:
        rows = rows.filter(pl.col(schemas.TIMESTAMP) < as_of.gather(rows[schemas.USER]))
    known = _known_by(_complete(profiles), as_of)
    return Users(_ordered(rows, known[schemas.USER_ID]), known, _onboarding(known, catalogue), as_of)


def _complete(profiles: pl.DataFrame) -> pl.DataFrame:
    columns = [
        (pl.col(name) if name in profiles.columns else pl.lit(None)).cast(dtype).alias(name)
        for name, dtype in _PROFILE.items()
    ]
    return profiles.select(columns)


def _known_by(profiles: pl.DataFrame, as_of: pl.Series | None) -> pl.DataFrame:
    """Who registers at their ``as_of`` or later is not known of yet, but for the id."""
    if as_of is None:
        return profiles
    there = (pl.col(schemas.REGISTERED_AT) < as_of).fill_null(True)
    hidden = [pl.when(there).then(pl.col(name)).alias(name) for name in _PROFILE if name != schemas.USER_ID]
    return profiles.with_columns(hidden)


def _onboarding(profiles: pl.DataFrame, catalogue: pl.DataFrame) -> pl.DataFrame:
    """An id that several types have stands for an item of each."""
    columns = (schemas.USER, schemas.ITEM_TYPE, schemas.ITEM)
    picked = (
        profiles.select(schemas.ONBOARDING_ITEMS)
        .with_row_index(schemas.USER)
        .filter(pl.col(schemas.ONBOARDING_ITEMS).list.len() > 0)
        .explode(schemas.ONBOARDING_ITEMS)
        .rename({schemas.ONBOARDING_ITEMS: schemas.ITEM_ID})
    )
    return picked.join(catalogue, on=schemas.ITEM_ID).select(columns).sort(columns)


def _ordered(rows: pl.DataFrame, user_ids: pl.Series) -> pl.DataFrame:
    """By user and time. Where times are equal or missing, an order by item number would favour some items for all
    users once a history is cut: a hash of user and item decides, the same in every process."""
    salt = np.fromiter((crc32(name.encode()) for name in user_ids), np.uint64, len(user_ids))
    tie = tie_order(salt[rows[schemas.USER].to_numpy()], 0) + tie_order(rows[schemas.ITEM].to_numpy(), 1)
    ordered = rows.with_columns(pl.Series(_TIE, tie)).sort(
        schemas.USER, schemas.TIMESTAMP, _TIE, schemas.ITEM_TYPE, schemas.ITEM, schemas.SIGNAL
    )
    return ordered.select(
        schemas.USER, schemas.ITEM_TYPE, schemas.ITEM, schemas.SIGNAL, schemas.TIMESTAMP, schemas.SECONDS
    )
