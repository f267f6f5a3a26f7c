"""The blend's third part, the same for all users: how far an item stands out of what is popular lately."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from graphkit.datasets.popularity import users_met
from graphkit.datasets.store import Dataset

#: Items of a type that stand out, at most: few, so that serving can look at all of them for each user.
MOST: Final = 1000

Floats = npt.NDArray[np.float32]


def popular_parts(dataset: Dataset, days: int) -> dict[str, Floats]:
    """``popular_part`` of each target type, of the users in the last ``days`` before the cut-off."""
    meta = dataset.meta
    return {name: popular_part(users_met(dataset, name, meta.cutoff, days)) for name in meta.targets}


def popular_part(users: npt.NDArray[np.integer], most: int = MOST) -> Floats:
    """log(1 + users) above that of the best item that does not stand out, in spreads over the catalogue.

    ``users`` [num_items] are those who met each item lately; float32 [num_items], 0 for all but ``most`` items.
    """
    logs = np.log1p(users.astype(np.float64))
    floor = np.partition(logs, -most - 1)[-most - 1] if len(logs) > most else 0.0
    above = np.maximum(logs - floor, 0)
    spread = above.std() if len(above) else 0.0
    part: Floats = (above / spread if spread > 0 else np.zeros(len(above))).astype(np.float32)
    return part
