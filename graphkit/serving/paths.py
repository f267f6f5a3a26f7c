"""Co-listening paths from a user's items to a recommended one, over one edge or two (2T-HGNN paper, figure 1C)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from graphkit.serving.mapped import map_tensors

Items = npt.NDArray[np.integer]
Floats = npt.NDArray[np.float32]


class Node(NamedTuple):
    """An item: its type and its row."""

    item_type: str
    item: int


class Path(NamedTuple):
    """From an item of the user's, through another item or straight; ``weight``: the product of its edges'."""

    start: Node
    through: Node | None
    weight: float


class _Reached(NamedTuple):
    """The items of one type next to the user's, ascending, each with the heaviest edge that leads to it."""

    items: Items  # [n]
    weight: Floats  # [n]
    start: list[Node]  # [n]


@dataclass(frozen=True)
class Adjacency:
    """``adjacency.safetensors``, mapped: the heaviest neighbours of every item, by type."""

    tensors: Mapping[str, npt.NDArray[Any]]
    types: tuple[str, ...]

    @classmethod
    def open(cls, path: FilePath, types: tuple[str, ...]) -> Adjacency:
        return cls(map_tensors(path), types)

    def neighbours(self, node: Node, item_type: str) -> tuple[Items, Floats]:
        """The neighbours of a type, heaviest first, and the weights of the edges to them."""
        name = f"{node.item_type}/{item_type}"
        if f"{name}/indptr" not in self.tensors:  # the graph does not join these types
            return np.zeros(0, np.int32), np.zeros(0, np.float32)
        start, end = self.tensors[f"{name}/indptr"][node.item : node.item + 2]
        return self.tensors[f"{name}/indices"][start:end], self.tensors[f"{name}/weights"][start:end]

    def paths(self, own: Mapping[str, Items], item_type: str, items: Items) -> list[Path | None]:
        """For each of ``items`` of a type the heaviest path from the items ``own``, by type: over one edge if there
        is one, else over two, through a neighbour that both ends share; None where there is neither."""
        met = {Node(t, int(item)) for t, mine in own.items() for item in mine}
        reached = {t: self._reached(own, t) for t in self.types}
        found = []
        for item in items:
            target = Node(item_type, int(item))
            found.append(self._straight(target, met, reached) or self._through(target, reached))
        return found

    def _reached(self, own: Mapping[str, Items], item_type: str) -> _Reached:
        starts = [Node(t, int(item)) for t, mine in own.items() for item in mine]
        edges = [self.neighbours(start, item_type) for start in starts]
        none = (np.zeros(0, np.int32), np.zeros(0, np.float32))
        items, weight = (np.concatenate(part) for part in zip(none, *edges, strict=True))
        whose = np.repeat(np.arange(len(starts)), [len(found) for found, _ in edges])
        order = np.lexsort((-weight, items))
        kept = order[np.diff(items[order], prepend=-1) > 0]  # the heaviest edge into each
        return _Reached(items[kept], weight[kept], [starts[i] for i in whose[kept]])

    def _straight(self, target: Node, met: set[Node], reached: Mapping[str, _Reached]) -> Path | None:
        """The heaviest edge between one of the user's items and the target, as either end keeps it."""
        found = []
        if target.item_type in reached:
            near = reached[target.item_type]
            at = np.searchsorted(near.items, target.item)
            if at < len(near.items) and near.items[at] == target.item:
                found.append(Path(near.start[at], None, float(near.weight[at])))
        for item_type in self.types:
            for item, weight in zip(*self.neighbours(target, item_type), strict=True):
                if (node := Node(item_type, int(item))) in met:
                    found.append(Path(node, None, float(weight)))
        return max(found, key=lambda path: path.weight, default=None)

    def _through(self, target: Node, reached: Mapping[str, _Reached]) -> Path | None:
        """The heaviest path over two edges."""
        found = []
        for item_type, near in reached.items():
            middle, weight = self.neighbours(target, item_type)
            at = np.minimum(np.searchsorted(near.items, middle), max(len(near.items) - 1, 0))
            shared = np.flatnonzero(near.items[at] == middle) if len(near.items) else np.zeros(0, np.int64)
            shared = np.array([i for i in shared if near.start[at[i]] != target], np.int64)  # there and back
            if len(shared):
                product = weight[shared] * near.weight[at[shared]]
                best = int(np.argmax(product))
                node = Node(item_type, int(middle[shared[best]]))
                found.append(Path(near.start[at[shared[best]]], node, float(product[best])))
        return max(found, key=lambda path: path.weight, default=None)
