"""How popular each item was up to a moment: an input of the item towers."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np

from graphkit.datasets.popularity import users_met
from graphkit.datasets.store import Dataset
from graphkit.errors import InputError
from graphkit.user_features import Floats


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
