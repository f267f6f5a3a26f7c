"""The bundle's second source: learned weights of the co-listening edges from the items that a user met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from graphkit.evaluation.groups import COLD, WARM
from graphkit.serving.mapped import map_tensors
from graphkit.user_features import STRONG, Histories, Pool

Floats = npt.NDArray[np.float32]
Items = npt.NDArray[np.int64]


class Support(NamedTuple):
    """An edge into a recommended item: the user's item at its other end, and the weight."""

    item_type: str
    item: int
    weight: float


@dataclass(frozen=True)
class EdgeWeights:
    """``edges.safetensors`` mapped, over the users' strong items ``met``; ``num_items`` in the dataset's order."""

    tensors: Mapping[str, npt.NDArray[Any]]
    met: Histories
    num_items: Mapping[str, int]

    @classmethod
    def open(cls, path: Path, met: Histories, num_items: Mapping[str, int]) -> EdgeWeights:
        return cls(map_tensors(path), met, num_items)

    def group(self, user: int, item_type: str) -> str:
        """``warm`` where the user met an item of the type by a strong signal, else ``cold``."""
        return WARM if len(self.met[Pool(item_type, STRONG)].of(user)) else COLD

    def scores(self, user: int, item_type: str) -> Floats:
        """The summed weights of the edges from the user's items to each item of a type: float32 [num_items]."""
        parts = [(indices, weights) for _, _, indices, weights in self._edges(user, item_type)]
        if not parts:
            return np.zeros(self.num_items[item_type], np.float32)
        indices, weights = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        return np.bincount(indices, weights, self.num_items[item_type]).astype(np.float32)

    def supports(self, user: int, item_type: str, items: Items, most: int) -> list[list[Support]]:
        """For each of ``items``, the ``most`` heaviest edges with a positive weight that lead to it."""
        found: dict[int, list[Support]] = {int(item): [] for item in items}
        for source_type, source, indices, weights in self._edges(user, item_type):
            for at in np.flatnonzero(np.isin(indices, items)):
                if weights[at] > 0:
                    found[int(indices[at])].append(Support(source_type, source, float(weights[at])))
        return [sorted(found[int(item)], key=lambda edge: -edge.weight)[:most] for item in items]

    def _edges(self, user: int, item_type: str) -> Sequence[tuple[str, int, npt.NDArray[Any], npt.NDArray[Any]]]:
        """Of each item that the user met: type, row, and where its edges lead, with their weights."""
        name = f"{item_type}/{self.group(user, item_type)}"
        indptr, indices, weights = (self.tensors[f"{name}/{part}"] for part in ("indptr", "indices", "weights"))
        found, start = [], 0
        for source_type, size in self.num_items.items():
            for item in self.met[Pool(source_type, STRONG)].of(user):
                first, last = indptr[start + item], indptr[start + item + 1]
                if last > first:
                    found.append((source_type, int(item), indices[first:last], weights[first:last]))
            start += size
        return found
