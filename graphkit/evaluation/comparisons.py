"""Paired differences between any two models, and what remains of them after many comparisons."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

CORRECTION: Final = (
    "p_value: two-sided, of the paired difference over its bootstrap standard error (normal approximation); "
    "p_holm: Holm's correction over all pairs of models in one target type, user group and metric"
)

Floats = npt.NDArray[np.float64]


def p_values(difference: Floats, draws: Floats) -> Floats:
    """Two-sided p-values [k] of ``difference`` [k] from its bootstrap ``draws`` [resamples, k].

    From the bootstrap standard error, not from the share of draws beyond zero, which cannot fall below one over
    the number of resamples and so could never survive a correction. Without any spread it is 1 or 0.
    """
    error = draws.std(axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        z = np.abs(difference) / error
    found: Floats = np.where(error > 0, 2 * norm.sf(np.nan_to_num(z)), np.where(difference == 0, 1.0, 0.0))
    return found


def holm(p: Floats) -> Floats:
    """Holm's step-down adjusted p-values (Holm 1979) along the first axis: the shape of ``p`` [m, k]."""
    order = np.argsort(p, axis=0, kind="stable")
    factor = np.arange(len(p), 0, -1)[:, None]
    adjusted = np.minimum(np.maximum.accumulate(np.take_along_axis(p, order, axis=0) * factor, axis=0), 1)
    found = np.empty_like(p)
    np.put_along_axis(found, order, adjusted, axis=0)
    return found
