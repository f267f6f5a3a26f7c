"""What a hybrid factorisation knows of users and items: sparse rows of features, whose vectors are added up."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import numpy as np
import polars as pl
from scipy import sparse

from graphkit import schemas
from graphkit.downstream.profiling import ATTRIBUTES
from graphkit.downstream.world import World

#: A value of fewer users or items says nothing beyond each of them.
_SHARED: Final = 2
_ROW: Final = "row"
_VALUE: Final = "value"


def item_features(world: World) -> Any:
    """Each item's own column, and those of its type, genres, creator and language: sparse 0/1 float32 [items,
    features]."""
    items = world.dataset.items()
    genres = pl.col(schemas.GENRE).str.split(schemas.GENRE_SEPARATOR)
    words = {schemas.GENRE: genres, schemas.CREATOR: pl.col(schemas.ITEM_TYPE) + " " + pl.col(schemas.CREATOR)}
    words |= {name: pl.col(name) for name in (schemas.ITEM_TYPE, schemas.LANGUAGE)}
    row = world.catalogue.column().alias(_ROW)
    shared = _values((items.select(row, word.alias(_VALUE)), name) for name, word in words.items())
    own = sparse.eye_array(world.catalogue.size, dtype=np.float32)
    return sparse.hstack([own, _one_hot(shared, world.catalogue.size)], format="csr")


def profile_features(world: World) -> Any:
    """Country, age band and languages chosen on registering: sparse 0/1 float32 [num_users, features]."""
    users = world.dataset.users().sort(schemas.USER)
    words = {name: attribute.read(users) for name, attribute in ATTRIBUTES.items()}
    if schemas.ONBOARDING_LANGUAGES in users.columns:
        words[schemas.ONBOARDING_LANGUAGES] = users[schemas.ONBOARDING_LANGUAGES]
    row = users[schemas.USER].cast(pl.Int64).alias(_ROW)
    shared = _values((pl.DataFrame([row, word.alias(_VALUE)]), name) for name, word in words.items())
    return _one_hot(shared, world.dataset.meta.num_users)


def _values(columns: Iterable[tuple[pl.DataFrame, str]]) -> pl.DataFrame:
    """Distinct ``row`` and ``value`` of all columns, texts or lists of texts, told apart by the columns' names."""
    parts = []
    for frame, name in columns:
        each = frame.explode(_VALUE) if frame.schema[_VALUE] == pl.List else frame
        parts.append(each.drop_nulls().with_columns(name + ": " + pl.col(_VALUE).str.strip_chars()))
    return pl.concat(parts).unique()


def _one_hot(values: pl.DataFrame, count: int) -> Any:
    """Sparse 0/1 float32 [count, values that rows share]."""
    shared = values.filter(pl.len().over(_VALUE) >= _SHARED)
    column = (shared[_VALUE].rank("dense") - 1).to_numpy().astype(np.int64)
    ones = np.ones(shared.height, np.float32)
    shape = (count, shared[_VALUE].n_unique())
    return sparse.csr_array((ones, (shared[_ROW].to_numpy(), column)), shape=shape)
