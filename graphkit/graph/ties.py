"""Seeded order among equals. Source ids are often popularity ranks, so nothing is ever broken by id."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

_GOLDEN = 0x9E3779B97F4A7C15


def tie_order(keys: npt.NDArray[np.integer], seed: int) -> npt.NDArray[np.uint64]:
    """A pseudo-random uint64 per key (splitmix64): the same for the same key and seed on every machine."""
    x = keys.astype(np.uint64) + np.uint64((seed + 1) * _GOLDEN % 2**64)
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
