"""The learning rate of each step, as the settings say."""

from __future__ import annotations

from typing import Final

from graphkit.config.hgnn import HgnnSection
from graphkit.training.schedule import warm_up_and_cosine

#: The share of all steps over which the rate rises, and what it falls to, as a share of its height (cosine).
WARM_UP: Final = 0.05
FLOOR: Final = 0.01


def learning_rate(config: HgnnSection, step: int, steps: int) -> float:
    """The rate of ``step`` (1 is the first) of all ``steps`` that the run would take without early stopping."""
    if config.schedule == "constant":
        return config.learning_rate
    return warm_up_and_cosine(config.learning_rate, step, steps, WARM_UP, FLOOR)
