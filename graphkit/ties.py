"""Seeded order among equals. Source ids are often popularity ranks, so nothing is ever broken by id."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

#: The constants of splitmix64 (Steele, Lea, Flood 2014).
GOLDEN: Final = np.uint64(0x9E3779B97F4A7C15)
MIX_1: Final = np.uint64(0xBF58476D1CE4E5B9)
MIX_2: Final = np.uint64(0x94D049BB133111EB)


def tie_order(keys: npt.NDArray[Any], seed: int) -> npt.NDArray[np.uint64]:
    """A pseudo-random uint64 per key (splitmix64): the same for the same key and seed on every machine."""
    return mixed(keys.astype(np.uint64) + np.uint64((seed + 1) * int(GOLDEN) % 2**64))


def mixed(x: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """What splitmix64 makes of its states ``x``."""
    x = (x ^ (x >> np.uint64(30))) * MIX_1
    x = (x ^ (x >> np.uint64(27))) * MIX_2
    return x ^ (x >> np.uint64(31))
