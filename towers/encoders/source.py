"""What an encoder learns from and encodes: a dataset's users as of the moments that the towers need vectors of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.artefacts import Batch
from graphkit.datasets.store import Dataset
from graphkit.datasets.user_blocks import of_users
from graphkit.graph.store import FIT, SERVE
from graphkit.sign_ups import known_by_sign_up, sign_ups
from graphkit.user_vectors import FOLDS, pair_folds
from towers.encoders.users import Users, known_users

Ints = npt.NDArray[np.integer]
#: Users read, and encoded, at a time.
BLOCK_USERS: Final = 10_000


@dataclass(frozen=True)
class Moment:
    """A state of what is known: train rows before ``before`` (None: all of train), less the pairs of ``fold``."""

    name: str
    before: datetime | None
    fold: int | None = None


@dataclass(frozen=True)
class Source:
    """The dataset, and the batches of the other stages that the encoder reads, by stage."""

    dataset: Dataset
    upstream: Mapping[str, Batch]

    @property
    def training(self) -> Moment:
        """What an encoder may learn from: what came before the label period; without timestamps, all of train."""
        meta = self.dataset.meta
        return Moment(FIT, meta.label_start) if meta.label_start is not None else Moment(SERVE, None)

    @property
    def moments(self) -> tuple[Moment, ...]:
        """The moments that a user has a vector of (``graphkit.user_vectors``), the serving one last."""
        if self.dataset.meta.label_start is not None:
            return self.training, Moment(SERVE, self.dataset.meta.cutoff)
        return *(Moment(f"{FIT}/{fold}", None, fold) for fold in range(FOLDS)), Moment(SERVE, None)

    def log(self, moment: Moment) -> pl.LazyFrame:
        """The rows of ``Dataset.interactions`` by strong or weak signals that are known at the moment."""
        meta = self.dataset.meta
        rows = self.dataset.interactions(schemas.TRAIN, (*meta.strong, *meta.weak))
        return rows if moment.before is None else rows.filter(pl.col(schemas.TIMESTAMP) < moment.before)

    def users(self, moment: Moment, first: int, last: int) -> Users:
        """Users ``first`` to ``last - 1`` as of the moment."""
        rows = self.log(moment).filter(of_users(first, last)).collect()
        if moment.fold is not None:
            rows = rows.filter(_outside(rows, moment.fold))
        placed = rows.with_columns(pl.col(schemas.USER) - first)
        return known_users(placed, self._profiles[first:last], self.catalogue, moment.before)

    def blocks(self, moment: Moment) -> Iterator[Users]:
        """All users as of the moment, in order, ``BLOCK_USERS`` at a time."""
        count = self.dataset.meta.num_users
        for first in range(0, count, BLOCK_USERS):
            yield self.users(moment, first, min(first + BLOCK_USERS, count))

    def new_users(self, hours: float) -> Iterator[tuple[Ints, Users]]:
        """The users of ``graphkit.sign_ups``, ``BLOCK_USERS`` at a time: their numbers, and what is known of them
        ``hours`` after each one's registration."""
        for block in sign_ups(self.dataset, hours).iter_slices(BLOCK_USERS):
            place = block.select(schemas.USER).with_row_index("place")
            rows = known_by_sign_up(self.dataset, block).collect().join(place, on=schemas.USER)
            numbers = block[schemas.USER].to_numpy()
            placed = rows.with_columns(pl.col("place").alias(schemas.USER)).drop("place")
            yield numbers, known_users(placed, self._profiles[numbers], self.catalogue, block[schemas.AS_OF])

    @cached_property
    def catalogue(self) -> pl.DataFrame:
        """``item_type``, ``item``, ``item_id`` of every item."""
        return self.dataset.items().select(schemas.ITEM_TYPE, schemas.ITEM, schemas.ITEM_ID)

    @cached_property
    def _profiles(self) -> pl.DataFrame:
        return self.dataset.users()


def _outside(rows: pl.DataFrame, fold: int) -> pl.Series:
    """Which rows' pairs are not in ``fold``: by pair, so that no other signal gives a label away."""
    users, items = (rows[name].to_numpy() for name in (schemas.USER, schemas.ITEM))
    keep = np.ones(rows.height, dtype=bool)
    for item_type in rows[schemas.ITEM_TYPE].unique():
        of_type = (rows[schemas.ITEM_TYPE] == item_type).to_numpy()
        keep[of_type] = pair_folds(item_type, users[of_type], items[of_type]) != fold
    return pl.Series(keep)
