"""What is popular among people of the same country and age: the heuristic without vectors (KDD '24, table 2)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from graphkit import schemas
from graphkit.downstream.moments import Moment
from graphkit.downstream.pairs import Pairs
from graphkit.downstream.rivals import Rival
from graphkit.downstream.world import World

#: Days before a moment that count.
_DAYS: Final = 90
_AGE_EDGES: Final = (18, 25, 30, 35, 45, 55, 65)
#: A group's share of an item is drawn towards everybody's as if so many users of everybody's taste were in it.
_PRIOR_USERS: Final = 20

Floats = npt.NDArray[np.float32]
Longs = npt.NDArray[np.int64]


@dataclass(frozen=True)
class DemographicPopularity(Rival):
    """Scores an item by the share of the user's country and age band who met it of late."""

    world: World
    trained: bool = False
    name: str = "popularity"

    @property
    def what(self) -> str:
        whose = "users of the same country and age band" if self._groups.max() > 0 else "all users"
        return f"share of {whose} who met the item by a strong signal in the last {_DAYS} days"

    def fit(self, training: Pairs, validation: Pairs, seed: int) -> ShareScorer:
        """Only the share above which a user is taken to meet the item is learned, from the training users."""
        scorer = ShareScorer(self._groups, self._shares, 0.0)
        return replace(scorer, threshold=best_threshold(scorer.pairs(training), training.labels))

    def of_new_users(self) -> DemographicPopularity:
        """Country and age are known of them at once."""
        return self

    def over(self, world: World) -> DemographicPopularity:
        return replace(self, world=world)

    @cached_property
    def _groups(self) -> Longs:
        """The number of each user's country and age band: int64 [num_users]."""
        users = self.world.dataset.users().sort(schemas.USER)
        age = pl.Series(np.searchsorted(_AGE_EDGES, users[schemas.AGE].fill_null(-1).to_numpy(), side="right"))
        known = users.select(
            pl.col(schemas.COUNTRY).fill_null(""), pl.when(pl.col(schemas.AGE).is_not_null()).then(age)
        )
        return known.select(pl.struct(pl.all()).rank("dense").cast(pl.Int64) - 1).to_series().to_numpy()

    @cached_property
    def _shares(self) -> dict[str, Floats]:
        """Per moment float32 [groups, items]."""
        return {moment.name: self._share(moment) for moment in self.world.moments}

    def _share(self, moment: Moment) -> Floats:
        world, groups = self.world, self._groups
        rows = moment.known(world.dataset, world.strong)
        if moment.at is not None:
            rows = rows.filter(pl.col(schemas.TIMESTAMP) >= moment.at - timedelta(days=_DAYS))
        met = world.catalogue.matrix(rows, len(groups))
        active = np.diff(met.indptr) > 0
        size = np.bincount(groups, active, minlength=groups.max() + 1)
        ends = (groups, np.arange(len(groups)))
        members = sparse.csr_array((np.ones(len(groups), np.float32), ends), shape=(len(size), len(groups)))
        counts = (members @ met).toarray()
        overall = counts.sum(axis=0) / max(active.sum(), 1)
        share: Floats = ((counts + _PRIOR_USERS * overall) / (size[:, None] + _PRIOR_USERS)).astype(np.float32)
        return share


@dataclass(frozen=True)
class ShareScorer:
    """By how much a share is above the threshold (``Scorer``)."""

    groups: Longs  # [num_users]
    shares: dict[str, Floats]  # per moment [groups, items]
    threshold: float

    def pairs(self, pairs: Pairs) -> Floats:
        found: Floats = self.shares[pairs.moment][self.groups[pairs.users], pairs.items] - self.threshold
        return found

    def ranking(self, moment: str, users: Longs, items: slice) -> Floats:
        found: Floats = self.shares[moment][self.groups[users], items] - self.threshold
        return found


def best_threshold(scores: Floats, labels: npt.NDArray[np.bool_]) -> float:
    """The score above which saying yes is right most often."""
    order = np.argsort(-scores, kind="stable")
    right = np.cumsum(np.where(labels[order], 1, -1))
    last = np.flatnonzero(np.append(scores[order][1:] != scores[order][:-1], True))  # of equal scores
    place = last[np.argmax(right[last])]
    below = scores[order][place + 1] if place + 1 < len(scores) else scores[order][place] - 1
    return float((scores[order][place] + below) / 2)
