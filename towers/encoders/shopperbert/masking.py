"""Which behaviours are predicted, and what stands in their place (ShopperBERT, section 4.1.2; BERT's 80/10/10)."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from towers.encoders.sequences.sequences import Ints, offsets

MASKED: Final = 0.8
EXCHANGED: Final = 0.1


class Masking(NamedTuple):
    """Of n behaviours: which are predicted, which of them are hidden, and whose content each shows."""

    predicted: npt.NDArray[np.bool_]  # [n]
    hidden: npt.NDArray[np.bool_]  # [n], some of predicted
    content: Ints  # [n], the behaviour's own number, or another's


def mask(lengths: Ints, share: float, draw: np.random.Generator) -> Masking:
    """``share`` of the behaviours of all sequences are predicted, of each at least one.

    Of those 80 % are hidden, 10 % show the content of another behaviour of the batch, 10 % their own.
    """
    count = int(lengths.sum())
    predicted = draw.random(count) < share
    starts = offsets(lengths)[:-1]
    none = np.add.reduceat(predicted, starts) == 0
    forced = starts + draw.integers(0, lengths)
    predicted[forced[none]] = True
    fate = draw.random(count)
    hidden = predicted & (fate < MASKED)
    exchanged = predicted & ~hidden & (fate < MASKED + EXCHANGED)
    others = draw.integers(0, count, count)
    return Masking(predicted, hidden, np.where(exchanged, others, np.arange(count)))
