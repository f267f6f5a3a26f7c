"""How many users met each item of a type by a strong signal, up to a moment."""

from __future__ import annotations

from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.datasets.store import Dataset


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
