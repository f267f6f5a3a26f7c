"""The learning rate of each step: a function of its number alone, so that a resumed run goes on exactly."""

from __future__ import annotations

import math
from typing import Final

from graphkit.config.hgnn import HgnnSection

#: The share of all steps over which the rate rises, and what it falls to, as a share of its height (cosine).
WARM_UP: Final = 0.05
FLOOR: Final = 0.01


def learning_rate(config: HgnnSection, step: int, steps: int) -> float:
    """The rate of ``step`` (1 is the first) of all ``steps`` that the run would take without early stopping."""
    if config.schedule == "constant":
        return config.learning_rate
    rising = math.ceil(WARM_UP * steps)
    if step <= rising:
        return config.learning_rate * step / rising
    done = (step - rising) / (steps - rising)
    return config.learning_rate * (FLOOR + (1 - FLOOR) * (1 + math.cos(math.pi * done)) / 2)
