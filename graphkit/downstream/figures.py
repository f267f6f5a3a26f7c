"""Figures over users, as functions of how much each user counts: so that one bootstrap serves all of them.

``weights`` are float64 [draws, n]: how often each of a task's n users was drawn.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from graphkit.compiled import compiled

Floats = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]


class Figure(Protocol):
    """One figure of one model in one task."""

    def of(self, weights: Floats) -> Floats:
        """The figure of each draw, float64 [draws]; NaN where nobody counts."""
        ...


@dataclass(frozen=True)
class MeanFigure:
    """A mean over examples or lists: each user's ``sums`` [n] over ``counts`` [n] of them."""

    sums: Floats
    counts: Floats

    def of(self, weights: Floats) -> Floats:
        with np.errstate(invalid="ignore"):
            found: Floats = (weights @ self.sums) / (weights @ self.counts)
        return found


@dataclass(frozen=True)
class AucFigure:
    """The area under the ROC curve over all users' examples together: the chance that a positive example scores
    above a negative one, equals counting half (Hanley and McNeil 1982)."""

    scores: npt.NDArray[np.floating]  # [examples]
    labels: npt.NDArray[np.bool_]  # [examples]
    users: Longs  # [examples] their place among the task's n users

    def of(self, weights: Floats) -> Floats:
        order = np.argsort(self.scores, kind="stable")
        scores = self.scores[order].astype(np.float64)
        found: Floats = _areas(scores, self.labels[order], self.users[order], np.ascontiguousarray(weights))
        return found


@dataclass(frozen=True)
class Averaged:
    """The mean of one figure over several trainings."""

    runs: Sequence[Figure]

    def of(self, weights: Floats) -> Floats:
        found: Floats = np.mean([run.of(weights) for run in self.runs], axis=0)
        return found


@compiled
def _areas(scores: Any, labels: Any, users: Any, weights: Any) -> Any:
    """One pass per draw over examples of ascending scores."""
    draws = weights.shape[0]
    found = np.empty(draws, np.float64)
    for draw in range(draws):
        below, area, positives, start = 0.0, 0.0, 0.0, 0
        while start < len(scores):
            stop, up, down = start, 0.0, 0.0
            while stop < len(scores) and scores[stop] == scores[start]:
                if labels[stop]:
                    up += weights[draw, users[stop]]
                else:
                    down += weights[draw, users[stop]]
                stop += 1
            area += up * (below + down / 2)
            below += down
            positives += up
            start = stop
        found[draw] = area / (positives * below) if positives * below > 0 else np.nan
    return found
