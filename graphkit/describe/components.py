"""Connected components: which nodes can pass each other anything at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from graphkit.graph.store import Relation

Labels = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Components:
    """Components of the graph of ``relation`` (None: of all relations), of nodes that have an edge in it.

    ``largest_by_type`` is the share of all nodes of each type that lie in the largest one.
    """

    relation: str | None
    components: int
    largest: int
    isolated: int
    largest_by_type: dict[str, float]


class ComponentFinder:
    """Nodes of several types as one row of integers, joined by relation after relation.

    Edges of one relation are held at a time: of those before, only the component of each node is kept.
    """

    def __init__(self, num_nodes: Mapping[str, int]) -> None:
        self.num_nodes = dict(num_nodes)
        starts = np.cumsum([0, *num_nodes.values()])
        self._start = dict(zip(num_nodes, starts.tolist(), strict=False))
        self._total = int(starts[-1])
        self._all: Labels = np.arange(self._total, dtype=np.int32)

    def add(self, edges: pl.DataFrame, relation: Relation) -> Components:
        """Join the ends of ``edges`` (columns ``src``, ``dst``); the components of this relation alone."""
        src = edges["src"].to_numpy().astype(np.int64) + self._start[relation.src]
        dst = edges["dst"].to_numpy().astype(np.int64) + self._start[relation.dst]
        alone = _labels(src, dst, self._total)
        self._all = _labels(self._all[src], self._all[dst], self._total)[self._all]
        ends = dict.fromkeys((relation.src, relation.dst))
        members = np.concatenate([self._nodes(name) for name in ends])
        return self._summary(relation.name, alone, members, tuple(ends))

    def together(self) -> Components:
        """The components over all relations added so far."""
        return self._summary(None, self._all, np.arange(self._total), tuple(self.num_nodes))

    def _nodes(self, node_type: str) -> npt.NDArray[np.int64]:
        return np.arange(self._start[node_type], self._start[node_type] + self.num_nodes[node_type])

    def _summary(
        self, relation: str | None, labels: Labels, members: npt.NDArray[np.int64], types: tuple[str, ...]
    ) -> Components:
        size = np.bincount(labels[members], minlength=1)
        joined = size[size > 1]
        largest = int(size.argmax())
        by_type = {
            name: float((labels[self._nodes(name)] == largest).mean())
            if len(joined) and self.num_nodes[name]
            else 0.0
            for name in types
        }
        return Components(relation, len(joined), int(joined.max(initial=0)), int((size == 1).sum()), by_type)


def _labels(src: npt.NDArray[np.integer], dst: npt.NDArray[np.integer], total: int) -> Labels:
    ones = np.ones(len(src), np.bool_)
    graph = sparse.csr_array((ones, (src, dst)), shape=(total, total))
    labels: Labels = connected_components(graph, directed=False)[1]
    return labels
