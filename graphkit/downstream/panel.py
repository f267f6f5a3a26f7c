"""Who is trained on, who stops the training, who is measured, and which of those are cold or heavy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.config.downstream import DownstreamSection
from graphkit.datasets.store import Dataset
from graphkit.downstream.moments import moments_of
from graphkit.ties import tie_order

ALL: Final = "all"
#: The fifth of a task's users who are known to have met the fewest items, and the fifth with the most.
COLD, HEAVY = "cold", "heavy"
_FIFTH: Final = 0.2
#: Added to the seed of samples: the parts are cut by the same hash, and the lowest places are all in one of them.
_SAMPLES: Final = 2**32

Longs = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Panel:
    """Every user's place: the parts are disjoint, by a seeded hash of the user's number."""

    training: Bools  # [num_users], all three
    validation: Bools
    test: Bools
    activity: Longs  # [num_users] distinct items known of as of the cut-off

    @classmethod
    def of(cls, dataset: Dataset, settings: DownstreamSection, seed: int) -> Panel:
        count = dataset.meta.num_users
        place = np.empty(count)
        place[np.argsort(tie_order(np.arange(count), seed))] = (np.arange(count) + 0.5) / count
        test = place < settings.test_share
        validation = ~test & (place < settings.test_share + settings.validation_share)
        return cls(~test & ~validation, validation, test, _activity(dataset))

    def groups(self, users: Longs) -> dict[str, Bools]:
        """Which of a task's measured ``users`` are in each group: bool [n]. Equals are told apart by a hash; where
        all are equal, as new users are, there is one group."""
        if len(np.unique(self.activity[users])) < 2:
            return {ALL: np.ones(len(users), bool)}
        order = np.lexsort((tie_order(users, 1), self.activity[users]))
        share = np.empty(len(users))
        share[order] = (np.arange(len(users)) + 0.5) / max(len(users), 1)
        return {ALL: np.ones(len(users), bool), COLD: share < _FIFTH, HEAVY: share > 1 - _FIFTH}


def sample_users(users: Longs, most: int, seed: int) -> Longs:
    """At most ``most`` of ``users`` [n], whatever part of the panel they are in, ascending."""
    order = np.argsort(tie_order(users, seed + _SAMPLES))
    return np.sort(users[order[:most]])


def _activity(dataset: Dataset) -> Longs:
    known = moments_of(dataset)[1].known(dataset, (*dataset.meta.strong, *dataset.meta.weak))
    pairs = known.select(schemas.USER, schemas.ITEM_TYPE, schemas.ITEM).unique()
    counts = pairs.group_by(schemas.USER).agg(pl.len()).collect()
    found = np.zeros(dataset.meta.num_users, np.int64)
    found[counts[schemas.USER].to_numpy()] = counts["len"].to_numpy()
    return found
