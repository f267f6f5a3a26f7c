"""From figures to rows: task by model, with intervals over users and the difference from the mean embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from graphkit.downstream.figures import Figure
from graphkit.downstream.files import MEAN
from graphkit.evaluation.bootstrap import interval

Row = dict[str, Any]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
#: Figures keep this many decimals, far below any interval's width.
_DECIMALS = 9


def task_rows(
    task: str,
    figures: Mapping[str, Mapping[str, Figure]],
    groups: Mapping[str, Bools],
    resamples: int,
    seed: int,
    base: str = MEAN,
) -> list[Row]:
    """Rows (``task``, ``group``, ``metric``, ``model``, ``value``, ``low``, ``high``, ``difference`` from the row
    ``base`` with ``difference_low``, ``difference_high`` and ``relative`` to it, ``num_users``).

    ``figures`` are by model and metric; ``groups`` bool [n] of the task's n users. All models share the resamples of
    the users, so the differences are paired. Without anybody in a group, or with examples of one label alone, there
    is no row.
    """
    rows = []
    num_users = len(next(iter(groups.values())))
    weights = resampled_users(num_users, resamples, np.random.default_rng(seed))
    for group, members in groups.items():
        everyone, drawn = members.astype(np.float64)[None, :], weights * members
        metrics = dict.fromkeys(metric for found in figures.values() for metric in found)
        for metric in metrics:
            measured = {
                model: np.concatenate([found[metric].of(everyone), found[metric].of(drawn)])
                for model, found in figures.items()
                if metric in found
            }
            about = {"task": task, "group": group, "metric": metric}
            rows += [about | row | {"num_users": int(members.sum())} for row in _rows(measured, base)]
    return rows


def resampled_users(num_users: int, resamples: int, rng: np.random.Generator) -> Floats:
    """How often each of n users is drawn, with replacement, in each resample: float64 [resamples, n]."""
    drawn = (rng.integers(0, num_users, num_users) for _ in range(resamples))
    return np.stack([np.bincount(picks, minlength=num_users) for picks in drawn]).astype(np.float64)


def _rows(measured: Mapping[str, Floats], base: str) -> Iterator[Row]:
    """Of each model the figure itself, then those of the resamples: float64 [1 + resamples]."""
    against = measured.get(base)
    for model, (value, *draws) in measured.items():
        if np.isnan(value):
            continue
        row: Row = {"model": model, "value": round(float(value), _DECIMALS), **_ends("", np.array(draws))}
        if against is not None and model != base:
            row["difference"] = round(float(value - against[0]), _DECIMALS)
            row |= _ends("difference_", np.array(draws) - against[1:])
            row["relative"] = round(float(value / against[0] - 1), _DECIMALS) if against[0] else None
        yield row


def _ends(prefix: str, draws: Floats) -> Row:
    """The interval; resamples without a figure are left out."""
    there = draws[~np.isnan(draws)]
    if not len(there):
        return {f"{prefix}low": None, f"{prefix}high": None}
    low, high = interval(there[:, None])
    return {f"{prefix}low": round(float(low[0]), _DECIMALS), f"{prefix}high": round(float(high[0]), _DECIMALS)}
