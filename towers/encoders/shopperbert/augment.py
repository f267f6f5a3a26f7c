"""Algorithm 1 of ShopperBERT: a part of a sequence is cut out, or shuffled in its place."""

from __future__ import annotations

from typing import Final

import numpy as np

from towers.encoders.sequences.sequences import Ints

#: The least part that a crop keeps, and the part that a shuffle moves.
PART: Final = 0.30


def augmented(length: int, crop_probability: float, draw: np.random.Generator) -> Ints:
    """The places 0..length-1 that the augmented sequence holds, in its order.

    A crop keeps a run of random length, at least 30 % (of a short sequence one behaviour); a shuffle re-orders a run
    of 30 %.
    """
    start = int(draw.integers(0, int(length * (1 - PART)), endpoint=True))
    least = min(max(start + int(length * PART), start + 1), length)
    places = np.arange(length)
    if draw.random() < crop_probability:
        return places[start : int(draw.integers(least, length, endpoint=True))]
    places[start:least] = draw.permutation(places[start:least])
    return places
