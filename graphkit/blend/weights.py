"""What the towers and what is popular weigh in the blend, per target type, for warm and for cold users."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from graphkit.artefacts import Batch
from graphkit.config.sections import BlendSection
from graphkit.datasets.store import Dataset
from graphkit.errors import ConfigError, did_you_mean
from graphkit.evaluation.groups import COLD, WARM

BLEND_FILE: Final = "blend.json"
#: Nothing set and nothing tuned: the towers weigh as much as the edges, and what is popular nothing.
_UNTOLD: Final = {"towers_weight": 1.0, "popularity_weight": 0.0}


@dataclass(frozen=True)
class BlendWeights:
    """By "type/warm" and "type/cold", the edges weighing 1."""

    towers: Mapping[str, float]
    popularity: Mapping[str, float]


def blend_weights(settings: BlendSection, dataset: Dataset, tuned: Batch | None) -> BlendWeights:
    """The weights of the settings, else of the batch ``tuned``, else 1 for the towers and 0 for what is popular.

    Raises ConfigError where the settings name a type that is no target.
    """
    about = {} if tuned is None else json.loads(tuned.path(BLEND_FILE).read_text(encoding="utf-8"))
    given = {"towers_weight": settings.towers_weight, "popularity_weight": settings.popularity_weight}
    towers, popularity = (
        _of_cells(name, weights, about.get(name, {}), dataset.meta.targets) for name, weights in given.items()
    )
    return BlendWeights(towers, popularity)


def _of_cells(
    name: str, given: Mapping[str, float], tuned: Mapping[str, float], targets: tuple[str, ...]
) -> dict[str, float]:
    for key in given:
        item_type = key.rpartition("/")[0]
        if item_type and item_type not in targets:
            raise ConfigError(
                f"blend.{name}: no target type {item_type!r}", expected=did_you_mean(item_type, targets)
            )
    found = {f"{t}/{group}": _UNTOLD[name] for t in targets for group in (WARM, COLD)}
    found |= {cell: weight for cell, weight in tuned.items() if cell in found}
    return {cell: given.get(cell, given.get(cell.rpartition("/")[2], weight)) for cell, weight in found.items()}
