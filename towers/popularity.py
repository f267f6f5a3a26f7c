"""How many users met each item by a strong signal up to a moment: an input of item towers, and the fallback."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.datasets.store import Dataset
from graphkit.errors import InputError
from graphkit.user_features import Floats


def users_met(dataset: Dataset, item_type: str, end: datetime | None, days: int) -> npt.NDArray[np.int32]:
    """Distinct train users of each item in the last ``days`` before ``end`` (None: in all of train): [num_items]."""
    rows = dataset.interactions(schemas.TRAIN, dataset.meta.strong).filter(pl.col(schemas.ITEM_TYPE) == item_type)
    if end is not None:
        time = pl.col(schemas.TIMESTAMP)
        rows = rows.filter((time < end) & (time >= end - timedelta(days=days)))
    users = rows.group_by(schemas.ITEM).agg(pl.col(schemas.USER).n_unique()).collect()
    counts = np.zeros(dataset.meta.num_items[item_type], dtype=np.int32)
    counts[users[schemas.ITEM].to_numpy()] = users[schemas.USER].to_numpy()
    return counts


def popularity_inputs(dataset: Dataset, item_type: str, end: datetime | None, days: Sequence[int]) -> Floats:
    """log(1 + users) of each item in the last so many days before ``end``, a column for each of ``days``: float32
    [num_items, len(days)].

    Raises InputError where there are no timestamps: the counts would know the labels.
    """
    if days and end is None:
        raise InputError(
            "how popular an item was before the labels cannot be told without timestamps",
            where=f"towers.popularity_days = {list(days)}",
            expected="a dataset with timestamps",
            found="none",
            fix="set towers.popularity_days=[]",
        )
    columns = [np.log1p(users_met(dataset, item_type, end, number)) for number in days]
    nothing = np.zeros((dataset.meta.num_items[item_type], 0))
    return np.column_stack([nothing, *columns]).astype(np.float32)
