"""The learning rate of a step: a function of its number alone, so that a resumed run goes on exactly."""

from __future__ import annotations

import math


def warm_up_and_cosine(height: float, step: int, steps: int, warm_up: float, floor: float) -> float:
    """The rate of ``step`` (1 is the first) of ``steps``: up to ``height`` over the first ``warm_up`` of them (a
    share, at least one step), then down along a cosine to ``floor`` (a share of ``height``)."""
    rising = max(math.ceil(warm_up * steps), 1)
    if step <= rising:
        return height * step / rising
    done = (step - rising) / (steps - rising)
    return height * (floor + (1 - floor) * (1 + math.cos(math.pi * done)) / 2)
