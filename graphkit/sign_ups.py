"""New users, each as of some hours after registering: a moment that differs from user to user.

Encoders make vectors of it, the downstream laboratory measures them: both take the moments and what is known at them
from here.
"""

from __future__ import annotations

from datetime import timedelta

import polars as pl

from graphkit import schemas
from graphkit.datasets.store import Dataset


def sign_ups(dataset: Dataset, hours: float) -> pl.DataFrame:
    """``user`` (u32) and ``as_of``, ``hours`` after the registration, of who registered in the label period or later;
    no rows where times or registrations are not known."""
    users, start = dataset.users().sort(schemas.USER), dataset.meta.label_start
    if schemas.REGISTERED_AT not in users.columns:
        users = users.with_columns(pl.lit(None, pl.Datetime("ms", "UTC")).alias(schemas.REGISTERED_AT))
    registered = pl.col(schemas.REGISTERED_AT)
    new = users.filter((registered >= start) if start is not None else pl.lit(False))
    return new.select(schemas.USER, (registered + timedelta(hours=hours)).alias(schemas.AS_OF))


def known_by_sign_up(dataset: Dataset, users: pl.DataFrame) -> pl.LazyFrame:
    """The strong and weak rows, of train and test alike, of the ``users`` (as ``sign_ups`` gives them) that are older
    than each one's moment."""
    rows = dataset.interactions(None, (*dataset.meta.strong, *dataset.meta.weak))
    older = rows.join(users.lazy(), on=schemas.USER).filter(pl.col(schemas.TIMESTAMP) < pl.col(schemas.AS_OF))
    return older.drop(schemas.AS_OF)
