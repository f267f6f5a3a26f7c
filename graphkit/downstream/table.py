"""From figures to rows: task by model, with intervals over users, and the paired difference of any two models."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import numpy.typing as npt

from graphkit.downstream.figures import Figure
from graphkit.downstream.files import MEAN
from graphkit.evaluation.bootstrap import interval
from graphkit.evaluation.comparisons import holm, p_values

Row = dict[str, Any]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
#: Figures keep this many decimals, far below any interval's width.
_DECIMALS = 9


@dataclass(frozen=True)
class Cell:
    """A group of a task's users, measured by one metric.

    ``measured`` holds each model's figure and then those of the resamples, float64 [1 + resamples]. All models share
    resamples and examples, so the differences are paired, and a resample has a figure of all or of none (NaN).
    """

    task: str
    group: str
    metric: str
    num_users: int
    measured: Mapping[str, Floats]

    def rows(self, base: str = MEAN) -> Iterator[Row]:
        """A row a model: ``model``, ``value``, ``low``, ``high``, ``difference`` from the row ``base`` with
        ``difference_low``, ``difference_high`` and ``relative`` to it."""
        against = self.measured.get(base)
        for model, (value, *draws) in self.measured.items():
            row: Row = {"model": model, "value": round(float(value), _DECIMALS), **_ends("", np.array(draws))}
            if against is not None and model != base:
                row["difference"] = round(float(value - against[0]), _DECIMALS)
                row |= _ends("difference_", np.array(draws) - against[1:])
                row["relative"] = round(float(value / against[0] - 1), _DECIMALS) if against[0] else None
            yield self._about | row

    def comparisons(self) -> list[Row]:
        """The later model minus the earlier one, for each pair: ``model``, ``peer``, ``value``, ``low``, ``high``,
        ``p_value`` and ``p_holm``; none where no resample has a figure."""
        pairs = [(model, peer) for peer, model in combinations(self.measured, 2)]
        if not pairs:
            return []
        found = np.stack([self.measured[model] - self.measured[peer] for model, peer in pairs], axis=1)
        value, draws = found[0], found[1:][~np.isnan(found[1:]).any(axis=1)]  # [pairs], [resamples, pairs]
        if not len(draws):
            return []
        figures = np.stack([value, *interval(draws)]).round(_DECIMALS)
        p = p_values(value, draws)
        columns = np.stack([*figures, p, holm(p[:, None])[:, 0]], axis=1).tolist()
        names = ("value", "low", "high", "p_value", "p_holm")
        return [
            self._about | {"model": model, "peer": peer} | dict(zip(names, column, strict=True))
            for (model, peer), column in zip(pairs, columns, strict=True)
        ]

    @property
    def _about(self) -> Row:
        return {"task": self.task, "group": self.group, "metric": self.metric, "num_users": self.num_users}


def task_cells(
    task: str,
    figures: Mapping[str, Mapping[str, Figure]],
    groups: Mapping[str, Bools],
    resamples: int,
    seed: int,
) -> Iterator[Cell]:
    """A cell a group and metric; one without anybody in the group, or with examples of one label alone, is empty.

    ``figures`` are by model and metric; ``groups`` bool [n] of the task's n users.
    """
    num_users = len(next(iter(groups.values())))
    weights = resampled_users(num_users, resamples, np.random.default_rng(seed))
    for group, members in groups.items():
        everyone, drawn = members.astype(np.float64)[None, :], weights * members
        for metric in dict.fromkeys(metric for found in figures.values() for metric in found):
            measured = {
                model: np.concatenate([found[metric].of(everyone), found[metric].of(drawn)])
                for model, found in figures.items()
                if metric in found
            }
            there = {model: found for model, found in measured.items() if not np.isnan(found[0])}
            yield Cell(task, group, metric, int(members.sum()), there)


def resampled_users(num_users: int, resamples: int, rng: np.random.Generator) -> Floats:
    """How often each of n users is drawn, with replacement, in each resample: float64 [resamples, n]."""
    drawn = (rng.integers(0, num_users, num_users) for _ in range(resamples))
    return np.stack([np.bincount(picks, minlength=num_users) for picks in drawn]).astype(np.float64)


def _ends(prefix: str, draws: Floats) -> Row:
    """The interval; resamples without a figure are left out."""
    there = draws[~np.isnan(draws)]
    if not len(there):
        return {f"{prefix}low": None, f"{prefix}high": None}
    low, high = interval(there[:, None])
    return {f"{prefix}low": round(float(low[0]), _DECIMALS), f"{prefix}high": round(float(high[0]), _DECIMALS)}
