"""Who is evaluated on what: test items, masked items and warm or cold users, per target type."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.datasets.store import Dataset
from graphkit.user_features import History

WARM: Final = "warm"
COLD: Final = "cold"
#: Warm and cold users together; also the name of all target types together.
ALL: Final = "all"
GROUPS: Final = (WARM, COLD, ALL)


@dataclass(frozen=True)
class TargetTask:
    """Ranking one target type: its users with at least one test item and any train history.

    A positive is a distinct item of a strong test row that is in no strong train row of the user. Strong
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
    """One task per target type of the dataset, in its order."""
    met = _types_met(dataset)
    return {item_type: _task(dataset, item_type, met) for item_type in dataset.meta.targets}


def strong_pairs(dataset: Dataset, split: str, item_type: str) -> pl.LazyFrame:
    """Distinct (user, item) of the strong rows of one type and split, unsorted."""
    rows = dataset.interactions(split, dataset.meta.strong).filter(pl.col(schemas.ITEM_TYPE) == item_type)
    return rows.select(schemas.USER, schemas.ITEM).unique()


def read_pairs(pairs: pl.LazyFrame, num_users: int) -> History:
    """Collect distinct (user, item) rows as a History, items ascending."""
    frame = pairs.sort(schemas.USER, schemas.ITEM).collect()
    count = np.bincount(frame[schemas.USER].to_numpy(), minlength=num_users)
    indptr = np.concatenate([[0], np.cumsum(count)]).astype(np.int64)
    return History(indptr, frame[schemas.ITEM].to_numpy().astype(np.int32))


def _task(dataset: Dataset, item_type: str, met: dict[str, npt.NDArray[np.bool_]]) -> TargetTask:
    num_users = dataset.meta.num_users
    train, test = (strong_pairs(dataset, split, item_type) for split in (schemas.TRAIN, schemas.TEST))
    positives = read_pairs(test.join(train, on=[schemas.USER, schemas.ITEM], how="anti"), num_users)
    candidates = np.flatnonzero(np.diff(positives.indptr))
    known = np.any([met[name][candidates] for name in dataset.meta.types], axis=0)
    users = candidates[known]
    return TargetTask(
        item_type=item_type,
        num_items=dataset.meta.num_items[item_type],
        users=users,
        warm=met[item_type][users],
        positives=positives,
        masked=read_pairs(train, num_users),
        num_no_history=int((~known).sum()),
    )


def _types_met(dataset: Dataset) -> dict[str, npt.NDArray[np.bool_]]:
    """Per type, whether each user has a train row of it by any signal: bool [num_users]."""
    frame = dataset.interactions(schemas.TRAIN).select(schemas.USER, schemas.ITEM_TYPE).unique().collect()
    met = {name: np.zeros(dataset.meta.num_users, dtype=bool) for name in dataset.meta.types}
    for (item_type,), rows in frame.group_by(schemas.ITEM_TYPE):
        met[str(item_type)][rows[schemas.USER].to_numpy()] = True
    return met
