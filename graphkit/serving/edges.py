"""The bundle's second source: learned weights of the co-listening edges from the items that a user met."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from graphkit.evaluation.groups import COLD, WARM
from graphkit.histories import STRONG, Histories, History, Pool
from graphkit.serving.mapped import map_tensors

Floats = npt.NDArray[np.float32]
Items = npt.NDArray[np.int64]

_PARTS: Final = ("indptr", "indices", "weights")
#: An edge takes as long to sort in as so many items to go over.
_DENSE: Final = 16


class Support(NamedTuple):
    """An edge into a recommended item: the user's item at its other end, and the weight."""

    item_type: str
    item: int
    weight: float


class EdgeScores(NamedTuple):
    """The summed weights of a user's edges to the items of one type that they reach, where the sum is not 0."""

    items: Items  # ascending
    values: Floats
    num_items: int

    def spread(self) -> float:
        """The standard deviation over all items of the type, 0 for those not reached."""
        values = self.values.astype(np.float64)
        mean = values.sum() / max(self.num_items, 1)
        return math.sqrt(max(0.0, values @ values / max(self.num_items, 1) - mean**2))

    def in_spreads(self) -> EdgeScores:
        """The same in units of the spread; zeros where nothing spreads."""
        return self._replace(values=self.values * np.float32(over_spread(1.0, self.spread())))

    def plus(self, items: Items, values: Floats) -> EdgeScores:
        """With ``values`` added for ``items``, ascending."""
        both = np.union1d(self.items, items)
        sums = np.zeros(len(both), np.float32)
        sums[np.searchsorted(both, self.items)] = self.values
        sums[np.searchsorted(both, items)] += values
        return self._replace(items=both, values=sums)


def over_spread(value: float, spread: float) -> float:
    """``value`` in units of ``spread``; 0 where nothing spreads."""
    return value / spread if spread > 0 else 0.0


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

    @cached_property
    def all_met(self) -> History:
        """Every user's strong items, of all types side by side, type by type."""
        start = np.cumsum([0, *self.num_items.values()])
        parts = [(first, self.met[Pool(name, STRONG)]) for first, name in zip(start, self.num_items, strict=False)]
        users = np.concatenate([np.repeat(np.arange(h.num_users), np.diff(h.indptr)) for _, h in parts])
        items = np.concatenate([first + history.items for first, history in parts]).astype(np.int32)
        indptr = np.sum([history.indptr for _, history in parts], axis=0)
        return History(indptr, items[np.argsort(users, kind="stable")])

    def of(self, item_type: str, group: str) -> tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]:
        """``indptr``, ``indices`` and ``weights`` of the edges into a type, a CSR from the items side by side."""
        indptr, indices, weights = (self.tensors[f"{item_type}/{group}/{part}"] for part in _PARTS)
        return indptr, indices, weights

    def scores(self, user: int, item_type: str) -> EdgeScores:
        """The summed weights of the edges from the user's items to each item of a type."""
        parts = [(indices, weights) for _, _, indices, weights in self._edges(user, item_type)]
        if not parts:
            return EdgeScores(np.empty(0, np.int64), np.empty(0, np.float32), self.num_items[item_type])
        indices, weights = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        if len(indices) * _DENSE > self.num_items[item_type]:
            items, sums = _sums_over_all(indices, weights, self.num_items[item_type])
        else:
            items, sums = _sums_of_reached(indices, weights)
        kept = np.flatnonzero(sums)
        return EdgeScores(items[kept], sums[kept], self.num_items[item_type])

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
        indptr, indices, weights = self.of(item_type, self.group(user, item_type))
        found, start = [], 0
        for source_type, size in self.num_items.items():
            for item in self.met[Pool(source_type, STRONG)].of(user):
                first, last = indptr[start + item], indptr[start + item + 1]
                if last > first:
                    found.append((source_type, int(item), indices[first:last], weights[first:last]))
            start += size
        return found


def _sums_over_all(indices: npt.NDArray[Any], weights: npt.NDArray[Any], num_items: int) -> tuple[Items, Floats]:
    """Every item, with the sum of the weights at its index, each item's in their order."""
    return np.arange(num_items), np.bincount(indices, weights, num_items).astype(np.float32)


def _sums_of_reached(indices: npt.NDArray[Any], weights: npt.NDArray[Any]) -> tuple[Items, Floats]:
    """The same for the items among ``indices`` alone, ascending."""
    order = np.argsort(indices, kind="stable")
    ends = indices[order]
    first = np.append(True, ends[1:] != ends[:-1])
    return ends[first].astype(np.int64), np.bincount(np.cumsum(first) - 1, weights[order]).astype(np.float32)
