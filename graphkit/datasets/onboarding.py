"""What users chose on registering: items, as histories that are pooled, and languages."""

from __future__ import annotations

from datetime import datetime

import numpy as np
import polars as pl

from graphkit import schemas
from graphkit.datasets.store import Dataset
from graphkit.histories import ONBOARDING, Histories, History, Pool


def known_users(users: pl.DataFrame, before: datetime | None) -> pl.DataFrame:
    """The users table with no choices of those who registered at ``before`` or later (None: all are known).

    Who has no time of registration chose before anything else happened.
    """
    if before is None or schemas.REGISTERED_AT not in users.columns:
        return users
    later = (pl.col(schemas.REGISTERED_AT) >= before).fill_null(False)
    choices = [name for name in (schemas.ONBOARDING_ITEMS, schemas.ONBOARDING_LANGUAGES) if name in users.columns]
    return users.with_columns(pl.when(~later).then(pl.col(name)).alias(name) for name in choices)


def read_onboarding(dataset: Dataset, before: datetime | None) -> Histories:
    """The items that users chose before ``before``, a history a type, in the order of the choice.

    An id that several types share is an item of each; one that the catalogue does not have is left out, as the import
    has told.
    """
    chosen = choices(known_users(dataset.users(), before), dataset.items())
    return {Pool(t, ONBOARDING): _history(chosen, t, dataset.meta.num_users) for t in dataset.meta.types}


def choices(users: pl.DataFrame, items: pl.DataFrame) -> pl.DataFrame:
    """Rows ``user``, ``item_type``, ``item``, distinct, of the users' onboarding items; of an id that no item has the
    last two are null."""
    if schemas.ONBOARDING_ITEMS not in users.columns:
        return pl.DataFrame(schema={schemas.USER: pl.UInt32, schemas.ITEM_TYPE: pl.String, schemas.ITEM: pl.UInt32})
    return (
        users.select(schemas.USER, pl.col(schemas.ONBOARDING_ITEMS).alias(schemas.ITEM_ID))
        .explode(schemas.ITEM_ID)
        .drop_nulls(schemas.ITEM_ID)
        .unique(maintain_order=True)
        .join(
            items.select(schemas.ITEM_ID, schemas.ITEM_TYPE, schemas.ITEM),
            on=schemas.ITEM_ID,
            how="left",
            maintain_order="left",
        )
        .select(schemas.USER, schemas.ITEM_TYPE, schemas.ITEM)
    )


def _history(chosen: pl.DataFrame, item_type: str, num_users: int) -> History:
    mine = chosen.filter(pl.col(schemas.ITEM_TYPE) == item_type)
    count = np.bincount(mine[schemas.USER].to_numpy(), minlength=num_users)
    indptr = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    return History(indptr, mine[schemas.ITEM].to_numpy().astype(np.int32))
