"""Validation for the peers, cut from train the way the test was cut from the data; no test row is read."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.datasets.holdout import held_out
from graphkit.datasets.store import Dataset
from graphkit.evaluation.groups import COLD, WARM, Parts, TargetTask, tasks_of
from graphkit.evaluation.metrics import USER_METRICS, user_metrics
from graphkit.evaluation.recommender import Recommender
from graphkit.evaluation.top_items import tie_order, top_items

#: Scores held at once.
BLOCK_SCORES: Final = 4_000_000
_LENGTH: Final = 10
#: The third number of the draws: the split took 0 and 1.
_DRAW: Final = 2


def validation_parts(dataset: Dataset, seed: int) -> Parts:
    """Train rows parted once more: by time at one horizon before the cut-off, else by a seeded draw per user.

    The horizon is the split's, but a third of train at most, as for the towers' labels. The draw is the one of
    ``split.holdout = "validation"``: of each target type some users lose all rows, the others a share of them.
    """
    rows = dataset.interactions(schemas.TRAIN)
    if dataset.meta.split == "time" and dataset.meta.cutoff is not None:
        cutoff = _validation_cutoff(dataset, dataset.meta.cutoff)
        late = (pl.col(schemas.TIMESTAMP) >= cutoff).fill_null(False)
        return Parts(rows.filter(~late), rows.filter(late), cutoff)
    frame = rows.collect()
    share, rng = split_settings(dataset)["random_share"], np.random.default_rng([seed, _DRAW])
    late_rows = held_out(frame, dataset.meta.targets, dataset.meta.strong, share, rng)
    return Parts(frame.filter(~late_rows).lazy(), frame.filter(late_rows).lazy(), dataset.meta.cutoff)


def validation_tasks(dataset: Dataset, seed: int, max_users: int | None = None) -> dict[str, TargetTask]:
    """One task per target type on ``validation_parts``; of each group a seeded sample of ``max_users``."""
    tasks = tasks_of(dataset.meta, validation_parts(dataset, seed))
    return tasks if max_users is None else {name: sampled(task, max_users, seed) for name, task in tasks.items()}


def how_cut(dataset: Dataset, parts: Parts, tasks: dict[str, TargetTask]) -> dict[str, Any]:
    """How validation came about and how many users it ranks, for ``peers.json``."""
    timed = dataset.meta.split == "time" and parts.cutoff is not None
    return {
        "cut": "by time" if timed else "drawn per user",
        "from": parts.cutoff.isoformat() if timed and parts.cutoff else None,
        "until": dataset.meta.cutoff.isoformat() if timed and dataset.meta.cutoff else None,
        "random_share": None if timed else split_settings(dataset)["random_share"],
        "users": {name: {group: len(task.members(group)) for group in (WARM, COLD)} for name, task in tasks.items()},
    }


def split_settings(dataset: Dataset) -> dict[str, Any]:
    """The ``split`` section under which the dataset was made."""
    found: dict[str, Any] = dataset.batch.manifest.settings["split"]
    return found


def sampled(task: TargetTask, max_users: int, seed: int) -> TargetTask:
    """``task`` with at most ``max_users`` users of each group."""
    rng = np.random.default_rng([seed, _DRAW])
    chosen = [rng.permutation(task.members(group))[:max_users] for group in (WARM, COLD)]
    rows = np.sort(np.concatenate(chosen))
    return replace(task, users=task.users[rows], warm=task.warm[rows])


def validation_ndcg(model: Recommender, task: TargetTask, seed: int) -> npt.NDArray[np.float64]:
    """NDCG@10 of each user of ``task``: float64 [n]; the whole catalogue is ranked, train items left out."""
    ties, rows = tie_order(task.num_items, seed), max(1, BLOCK_SCORES // max(1, task.num_items))
    found = [np.zeros(0)]
    for start in range(0, len(task.users), rows):
        users = task.users[start : start + rows]
        found.append(ndcg_of(model.scores(users, task.item_type), task, users, ties))
    return np.concatenate(found)


def ndcg_of(
    scores: npt.NDArray[np.float32], task: TargetTask, users: npt.NDArray[np.int64], ties: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """NDCG@10 of each of ``users`` by their ``scores`` [n, num_items]; ``ties`` is ``tie_order``."""
    top = top_items(scores, task.masked.pairs(users), ties, _LENGTH)
    relevant = np.zeros((len(users), task.num_items + 1), dtype=bool)  # the last column catches -1
    relevant[task.positives.pairs(users)] = True
    hits = np.take_along_axis(relevant, top, axis=1)
    return user_metrics(hits, np.diff(task.positives.indptr)[users])[:, USER_METRICS.index("NDCG@10")]


def _validation_cutoff(dataset: Dataset, cutoff: datetime) -> datetime:
    first: datetime = dataset.interactions(schemas.TRAIN).select(pl.col(schemas.TIMESTAMP).min()).collect().item()
    horizon = timedelta(days=split_settings(dataset)["horizon_days"])
    return cutoff - min(horizon, (cutoff - first) / 3)
