"""The towers' weight in the blend, per target type and for warm and for cold users: set, tuned, or 1."""

from __future__ import annotations

import json
from typing import Final

from graphkit.artefacts import Batch
from graphkit.config.sections import BlendSection
from graphkit.datasets.store import Dataset
from graphkit.errors import ConfigError, did_you_mean
from graphkit.evaluation.groups import COLD, WARM

BLEND_FILE: Final = "blend.json"
#: Nothing set and nothing tuned: both sources weigh the same.
_EVEN: Final = 1.0


def towers_weight(settings: BlendSection, dataset: Dataset, tuned: Batch | None) -> dict[str, float]:
    """The weight by "type/warm" and "type/cold": of the settings, else of the batch ``tuned``, else 1.

    Raises ConfigError where the settings name a type that is no target.
    """
    found = {f"{t}/{group}": _EVEN for t in dataset.meta.targets for group in (WARM, COLD)}
    if tuned is not None:
        about = json.loads(tuned.path(BLEND_FILE).read_text(encoding="utf-8"))["towers_weight"]
        found |= {cell: weight for cell, weight in about.items() if cell in found}
    given = settings.towers_weight
    for key in given:
        item_type = key.rpartition("/")[0]
        if item_type and item_type not in dataset.meta.targets:
            raise ConfigError(
                f"blend.towers_weight: no target type {item_type!r}",
                expected=did_you_mean(item_type, dataset.meta.targets),
            )
    return {cell: given.get(cell, given.get(cell.rpartition("/")[2], weight)) for cell, weight in found.items()}
