"""Who is evaluated on what: held-out items, masked items and warm or cold users, per target type."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.datasets.store import Dataset, DatasetMeta
from graphkit.histories import History

WARM: Final = "warm"
COLD: Final = "cold"
#: Warm and cold users together; also the name of all target types together.
ALL: Final = "all"
GROUPS: Final = (WARM, COLD, ALL)


@dataclass(frozen=True)
class Parts:
    """The interactions a model may know and those it is to foresee; ``cutoff`` parts them where there is time.

    Rows are those of ``Dataset.interactions``.
    """

    train: pl.LazyFrame
    held_out: pl.LazyFrame
    cutoff: datetime | None


@dataclass(frozen=True)
class TargetTask:
    """Ranking one target type: its users with at least one held-out item and any train history.

    A positive is a distinct item of a strong held-out row that is in no strong train row of the user. Strong
    train items are masked; an item the user only previewed or followed in train is neither masked nor
    barred from being a positive, since starting it is what the model should foresee. A user is warm with at
    least one train row of the type by any signal (paper 5.2.2), else cold. Users without any train row are
    counted, not ranked: only a list that is the same for everybody could be theirs.
    """

    item_type: str
    num_items: int
    users: npt.NDArray[np.int64]  # [n], ascending
    warm: npt.NDArray[np.bool_]  # [n]
    positives: History  # of all users of the dataset
    masked: History  # of all users of the dataset
    num_no_history: int

    def members(self, group: str) -> npt.NDArray[np.int64]:
        """The rows of ``users`` that belong to ``warm``, ``cold`` or ``all``."""
        chosen = {WARM: self.warm, COLD: ~self.warm, ALL: np.ones_like(self.warm)}[group]
        return np.flatnonzero(chosen)

    @property
    def counts(self) -> dict[str, int]:
        """Users per group, users without history, and test items of the ranked users."""
        length = np.diff(self.positives.indptr)
        return {
            WARM: int(self.warm.sum()),
            COLD: int((~self.warm).sum()),
            "no_history": self.num_no_history,
            "test_items": int(length[self.users].sum()),
        }


def read_tasks(dataset: Dataset) -> dict[str, TargetTask]:
    """The test: one task per target type of the dataset, in its order."""
    return tasks_of(dataset.meta, final_parts(dataset))


def final_parts(dataset: Dataset) -> Parts:
    """All of train, and the test rows."""
    train, test = (dataset.interactions(split) for split in (schemas.TRAIN, schemas.TEST))
    return Parts(train, test, dataset.meta.cutoff)


def tasks_of(meta: DatasetMeta, parts: Parts) -> dict[str, TargetTask]:
    """One task per target type, in the dataset's order: rank ``parts.held_out`` knowing ``parts.train``."""
    met = _types_met(meta, parts.train)
    return {item_type: _task(meta, parts, item_type, met) for item_type in meta.targets}


def strong_pairs(rows: pl.LazyFrame, strong: Sequence[str], item_type: str) -> pl.LazyFrame:
    """Distinct (user, item) of the strong rows of one type, unsorted."""
    of_type = (pl.col(schemas.ITEM_TYPE) == item_type) & pl.col(schemas.SIGNAL).is_in(list(strong))
    return rows.filter(of_type).select(schemas.USER, schemas.ITEM).unique()


def read_pairs(pairs: pl.LazyFrame, num_users: int) -> History:
    """Collect distinct (user, item) rows as a History, items ascending."""
    return history_of(pairs.sort(schemas.USER, schemas.ITEM).collect(), num_users)


def history_of(pairs: pl.DataFrame, num_users: int) -> History:
    """Distinct (user, item) rows, sorted, as a History."""
    count = np.bincount(pairs[schemas.USER].to_numpy(), minlength=num_users)
    indptr = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    return History(indptr, pairs[schemas.ITEM].to_numpy().astype(np.int32))


def _task(meta: DatasetMeta, parts: Parts, item_type: str, met: dict[str, npt.NDArray[np.bool_]]) -> TargetTask:
    train, held_out = (strong_pairs(rows, meta.strong, item_type) for rows in (parts.train, parts.held_out))
    positives = read_pairs(held_out.join(train, on=[schemas.USER, schemas.ITEM], how="anti"), meta.num_users)
    candidates = np.flatnonzero(np.diff(positives.indptr))
    known = np.any([met[name][candidates] for name in meta.types], axis=0)
    users = candidates[known]
    return TargetTask(
        item_type=item_type,
        num_items=meta.num_items[item_type],
        users=users,
        warm=met[item_type][users],
        positives=positives,
        masked=read_pairs(train, meta.num_users),
        num_no_history=int((~known).sum()),
    )


def _types_met(meta: DatasetMeta, train: pl.LazyFrame) -> dict[str, npt.NDArray[np.bool_]]:
    """Per type, whether each user has a train row of it by any signal: bool [num_users]."""
    frame = train.select(schemas.USER, schemas.ITEM_TYPE).unique().collect()
    met = {name: np.zeros(meta.num_users, dtype=bool) for name in meta.types}
    for (item_type,), rows in frame.group_by(schemas.ITEM_TYPE):
        met[str(item_type)][rows[schemas.USER].to_numpy()] = True
    return met
