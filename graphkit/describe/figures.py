"""A measured figure with its 95 % interval, or the reason why there is none."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

#: Half the width of a normal 95 % interval, in standard errors.
Z_95: Final = 1.96

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """``value`` with its 95 % interval ``low`` to ``high``."""

    value: float
    low: float
    high: float

    @classmethod
    def normal(cls, value: float, error: float) -> Figure:
        """A normal interval from a standard error."""
        return cls(value, value - Z_95 * error, value + Z_95 * error)

    @classmethod
    def percentile(cls, value: float, draws: Floats) -> Figure:
        """A percentile interval from bootstrap draws [resamples]."""
        low, high = np.quantile(draws, [0.025, 0.975])
        return cls(value, float(low), float(high))

    def holds(self, x: float) -> bool:
        """Whether ``x`` lies in the interval."""
        return self.low <= x <= self.high


@dataclass(frozen=True)
class NotMeasurable:
    """Stands where a figure would: why the data do not carry it."""

    not_measurable: str


@dataclass(frozen=True)
class Histogram:
    """Shares of each named group in equal bins: ``shares[name][i]`` lies in ``edges[i]`` to ``edges[i + 1]``."""

    edges: list[float]
    shares: dict[str, list[float]]

    @classmethod
    def of(cls, groups: dict[str, Floats], num_bins: int = 40) -> Histogram:
        """Bins from the smallest to the largest value of all groups."""
        every = np.concatenate(list(groups.values()))
        edges = np.histogram_bin_edges(every, bins=num_bins)
        counts = {name: np.histogram(found, edges)[0] for name, found in groups.items()}
        shares = {name: (count / max(count.sum(), 1)).tolist() for name, count in counts.items()}
        return cls(edges.tolist(), shares)
