"""The users: everyone who interacts or is in a users table, with integer ids and what is known of them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from graphkit import schemas
from graphkit.datasets import rejects
from graphkit.datasets.tables import Source
from graphkit.datasets.validate import users_schema

_KNOWN = (
    schemas.AGE,
    schemas.COUNTRY,
    schemas.REGISTERED_AT,
    schemas.ONBOARDING_ITEMS,
    schemas.ONBOARDING_LANGUAGES,
)


def read_profiles(source: Source, now: datetime) -> pl.DataFrame | None:
    """The users tables as one, the first row of a user counting; None without any."""
    tables = source.of_kind("users")
    if not tables:
        return None
    schema = users_schema(now)
    rows = pl.concat([source.check(source.read(label, table), schema) for label, table in tables], how="diagonal")
    first = rows[schemas.USER_ID].is_first_distinct()
    source.reject(rows.filter(~first), schemas.USER_ID, rejects.DUPLICATE_USER)
    return rows.filter(first)


def number_users(interacting: pl.Series, profiles: pl.DataFrame | None) -> pl.DataFrame:
    """Rows ``user`` (u32), ``user_id`` of everyone, by id: never by a source's order, often that of activity."""
    ids = interacting if profiles is None else pl.concat([interacting, profiles[schemas.USER_ID]])
    numbered = ids.unique().sort().alias(schemas.USER_ID).to_frame().with_row_index(schemas.USER)
    return numbered.with_columns(pl.col(schemas.USER).cast(pl.UInt32))


def describe_users(
    numbering: pl.DataFrame, profiles: pl.DataFrame | None, year: int | None, further: Sequence[str] = ()
) -> pl.DataFrame:
    """``users.parquet``: the numbering with what is known, ``further`` columns too; the age in ``year`` where only a
    birth year is."""
    if profiles is None:
        profiles = pl.DataFrame(schema={n: schemas.polars_dtype(c.dtype) for n, c in schemas.USERS.items()})
    born = pl.lit(year, pl.Int16) - pl.col(schemas.BIRTH_YEAR)
    known = profiles.with_columns(pl.coalesce(schemas.AGE, born).cast(pl.Int16).alias(schemas.AGE))
    return numbering.join(known, on=schemas.USER_ID, how="left", maintain_order="left").select(
        schemas.USER, schemas.USER_ID, *_KNOWN, *further
    )


def unknown_choices(users: pl.DataFrame, catalogue: pl.DataFrame) -> int:
    """How many of the users' onboarding items are in no catalogue: such a choice is no input of the towers."""
    chosen = users[schemas.ONBOARDING_ITEMS].explode().drop_nulls()
    return int((~chosen.is_in(catalogue[schemas.ITEM_ID].implode())).sum())
