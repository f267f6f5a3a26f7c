"""Seeded order among equals. Source ids are often popularity ranks, so nothing is ever broken by id."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from graphkit.compiled import compiled

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


def tie_order(keys: npt.NDArray[np.integer], seed: int) -> npt.NDArray[np.uint64]:
    """A pseudo-random uint64 per key (splitmix64): the same for the same key and seed on every machine."""
    return _orders(keys.astype(np.uint64), seed)


@compiled
def _orders(keys: npt.NDArray[np.uint64], seed: int) -> npt.NDArray[np.uint64]:
    found = np.empty_like(keys)
    for at in range(len(keys)):
        found[at] = splitmix(keys[at], seed)
    return found


@compiled
def splitmix(key: Any, seed: int) -> Any:
    """``tie_order`` of one uint64 key."""
    x = key + (np.uint64(seed) + np.uint64(1)) * _GOLDEN
    x = (x ^ (x >> np.uint64(30))) * _MIX_1
    x = (x ^ (x >> np.uint64(27))) * _MIX_2
    return x ^ (x >> np.uint64(31))
