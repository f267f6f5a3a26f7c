"""Bootstrap intervals over users, for many figures at once.

All models and metrics of a cell share the same resamples of its users, so the difference of two columns is
a paired bootstrap.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

#: User weights held at once.
BLOCK_WEIGHTS: Final = 4_000_000
#: Users whose figures are held in double precision at once.
BLOCK_USERS: Final = 65_536
LEVEL: Final = 0.95

Floats = npt.NDArray[np.float64]


def resampled_means(
    sums: npt.NDArray[np.floating], counts: Floats, resamples: int, rng: np.random.Generator
) -> Floats:
    """Means of each column over ``resamples`` draws of n users with replacement: float64 [resamples, k].

    ``sums`` [n, k] hold each user's total and ``counts`` [n] over how many lists it runs: 1 for a single
    target type, more where types are pooled, so that a user is drawn with all of its lists.
    """
    num_users = len(counts)
    block = max(1, BLOCK_WEIGHTS // num_users)
    means = []
    for start in range(0, resamples, block):
        draws = min(block, resamples - start)
        picks = rng.integers(0, num_users, size=(draws, num_users))
        picks += np.arange(draws)[:, None] * num_users
        times = np.bincount(picks.ravel(), minlength=draws * num_users).reshape(draws, num_users)
        means.append(_weighted(times, sums) / (times @ counts)[:, None])
    return np.concatenate(means)


def _weighted(times: npt.NDArray[np.int64], sums: npt.NDArray[np.floating]) -> Floats:
    """``times @ sums`` [draws, k] in double precision, a part of the users at a time."""
    total = np.zeros((len(times), sums.shape[1]))
    for start in range(0, sums.shape[0], BLOCK_USERS):
        part = slice(start, start + BLOCK_USERS)
        total += times[:, part].astype(np.float64) @ sums[part].astype(np.float64)
    return total


def interval(means: Floats) -> tuple[Floats, Floats]:
    """The percentile interval of each column of ``means`` [resamples, k] at level 0.95: low [k], high [k]."""
    tail = (1 - LEVEL) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    return low, high
