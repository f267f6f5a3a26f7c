"""Two views of one sequence, made in two different ways (the SimCLR baseline of CLUE, section 4.1)."""

from __future__ import annotations

from typing import Final

import numpy as np

from graphkit.config.sequence_encoders import SimclrSection
from towers.encoders.sequences.sequences import Ints

#: In a view, the place of a behaviour that is masked.
HIDDEN: Final = -1
_WAYS: Final = ("crop", "mask", "reorder")


def two_views(length: int, settings: SimclrSection, draw: np.random.Generator) -> tuple[Ints, Ints]:
    """Two of cropping, masking and re-ordering, applied to a sequence of ``length`` behaviours.

    A view is the places 0..length-1 that it holds, in its order, ``HIDDEN`` where one is masked.
    """
    first, second = draw.permutation(len(_WAYS))[:2]
    return _view(_WAYS[first], length, settings, draw), _view(_WAYS[second], length, settings, draw)


def _view(way: str, length: int, settings: SimclrSection, draw: np.random.Generator) -> Ints:
    places = np.arange(length)
    if way == "mask":
        places[draw.permutation(length)[: int(settings.mask_share * length)]] = HIDDEN
        return places
    share = settings.crop_share if way == "crop" else settings.reorder_share
    size = max(int(share * length), 1)
    start = int(draw.integers(length - size + 1))
    if way == "crop":
        return places[start : start + size]
    places[start : start + size] = draw.permutation(places[start : start + size])
    return places
