"""From per-user metrics to the result table: cells, means, intervals and paired differences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from graphkit.evaluation.bootstrap import interval, resampled_means
from graphkit.evaluation.groups import ALL, GROUPS, TargetTask
from graphkit.evaluation.metrics import COVERAGE, USER_METRICS
from graphkit.evaluation.ranking import Ranked

#: ``rankings[model][target type]``.
Rankings = Mapping[str, Mapping[str, Ranked]]
Row = dict[str, Any]
#: Figures and interval ends keep this many decimals, far below any interval's width.
DECIMALS: Final = 9


@dataclass(frozen=True)
class Cell:
    """One target type (or ``all``) and user group: whose lists are averaged."""

    target_type: str
    group: str
    tasks: tuple[TargetTask, ...]

    def pooled(self, rankings: Mapping[str, Ranked]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        """Each user's metrics summed over the cell's types, and over how many lists: [n, 4], [n]."""
        members = [(task, task.members(self.group)) for task in self.tasks]
        lists = np.concatenate([task.users[rows] for task, rows in members])
        values = np.concatenate([rankings[task.item_type].values[rows] for task, rows in members])
        users, of = np.unique(lists, return_inverse=True)
        sums = np.zeros((len(users), values.shape[1]))
        np.add.at(sums, of, values)
        return sums, np.bincount(of, minlength=len(users)).astype(np.float64)

    def coverage(self, rankings: Mapping[str, Ranked], metric: str) -> float:
        """The share of the cell's catalogue that was listed at least once."""
        shown = sum(int(rankings[task.item_type].shown[self.group, metric].sum()) for task in self.tasks)
        return shown / sum(task.num_items for task in self.tasks)


def cells(tasks: Mapping[str, TargetTask]) -> Iterator[Cell]:
    """Every type and all types together, by user group, where there is anybody in it."""
    scopes = [(item_type, (task,)) for item_type, task in tasks.items()]
    for target_type, scope in [*scopes, (ALL, tuple(tasks.values()))]:
        for group in GROUPS:
            if any(len(task.members(group)) for task in scope):
                yield Cell(target_type, group, scope)


def tabulate(
    tasks: Mapping[str, TargetTask], rankings: Rankings, ours: str, resamples: int, seed: int
) -> tuple[list[Row], list[Row]]:
    """Result rows (one per model, cell and metric) and comparison rows (``ours`` minus each other model)."""
    results: list[Row] = []
    comparisons: list[Row] = []
    for number, cell in enumerate(cells(tasks)):
        found, compared = _cell_rows(cell, rankings, ours, resamples, np.random.default_rng([seed, number]))
        results += found
        comparisons += compared
    return results, comparisons


def _cell_rows(
    cell: Cell, rankings: Rankings, ours: str, resamples: int, rng: np.random.Generator
) -> tuple[list[Row], list[Row]]:
    parts = {model: cell.pooled(ranked) for model, ranked in rankings.items()}
    counts = next(iter(parts.values()))[1]
    sums = np.concatenate([values for values, _ in parts.values()], axis=1)
    shape = (len(parts), len(USER_METRICS))
    mean = (sums.sum(axis=0) / counts.sum()).reshape(shape)
    draws = resampled_means(sums, counts, resamples, rng).reshape(-1, *shape)
    place = {"target_type": cell.target_type, "group": cell.group}
    num_users = len(counts)
    results: list[Row] = []
    for i, (model, ranked) in enumerate(rankings.items()):
        results += _rows({"model": model} | place, mean[i], draws[:, i], num_users)
        for metric in COVERAGE:
            value = round(cell.coverage(ranked, metric), DECIMALS)
            figure = {"metric": metric, "value": value, "low": None, "high": None, "num_users": num_users}
            results.append({"model": model} | place | figure)
    comparisons: list[Row] = []
    our_row = list(rankings).index(ours)
    for i, peer in enumerate(rankings):
        if peer != ours:
            heading = {"model": ours, "peer": peer} | place
            comparisons += _rows(heading, mean[our_row] - mean[i], draws[:, our_row] - draws[:, i], num_users)
    return results, comparisons


def _rows(heading: Row, mean: npt.NDArray[np.float64], draws: npt.NDArray[np.float64], num_users: int) -> list[Row]:
    low, high = interval(draws)
    figures = zip(USER_METRICS, mean, low, high, strict=True)
    return [
        heading
        | {
            "metric": metric,
            "value": round(float(value), DECIMALS),
            "low": round(float(bottom), DECIMALS),
            "high": round(float(top), DECIMALS),
            "num_users": num_users,
        }
        for metric, value, bottom, top in figures
    ]
