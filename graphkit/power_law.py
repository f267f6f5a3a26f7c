"""A power law of loss against computing, with intervals, by least squares on logarithms."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from scipy import stats

from graphkit.describe.figures import Figure

_CONFIDENCE: Final = 0.95


@dataclass(frozen=True)
class PowerLaw:
    """loss = scale x compute ^ -exponent, fitted to ``n`` runs; ``spread`` is the residuals' standard deviation in
    natural logarithms, ``r_squared`` the share of the variance of log loss that the line explains."""

    scale: float
    exponent: Figure
    r_squared: float
    spread: float
    n: int
    mean_log_compute: float
    sum_of_squares: float  # of log compute around its mean

    def predict(self, compute: float) -> Figure:
        """The loss of one more run, with its prediction interval."""
        x = np.log(compute)
        line = float(np.log(self.scale) - self.exponent.value * x)
        beside = 1 + 1 / self.n + (x - self.mean_log_compute) ** 2 / self.sum_of_squares
        margin = _quantile(self.n) * self.spread * float(np.sqrt(beside))
        return Figure(*(float(np.exp(line + part)) for part in (0.0, -margin, margin)))


def fit_power_law(compute: Sequence[float], loss: Sequence[float]) -> PowerLaw:
    """The law of three runs or more of different computing; the intervals take residuals as normal."""
    x, y = np.log(np.asarray(compute, float)), np.log(np.asarray(loss, float))
    n, centred = len(x), x - x.mean()
    square = float((centred**2).sum())
    slope = float((centred * y).sum()) / square
    start = float(y.mean() - slope * x.mean())
    residuals = y - start - slope * x
    spread = float(np.sqrt((residuals**2).sum() / (n - 2)))
    margin = _quantile(n) * spread / np.sqrt(square)
    exponent = Figure(-slope, float(-slope - margin), float(-slope + margin))
    explained = 1 - float((residuals**2).sum() / ((y - y.mean()) ** 2).sum())
    return PowerLaw(float(np.exp(start)), exponent, explained, spread, n, float(x.mean()), square)


def _quantile(n: int) -> float:
    return float(stats.t.ppf((1 + _CONFIDENCE) / 2, n - 2))
