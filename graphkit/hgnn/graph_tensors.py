"""The co-listening graph as tensors on a device."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from graphkit.errors import ArtefactError
from graphkit.graph.store import CoListeningGraph, Relation


@dataclass(frozen=True)
class InEdges:
    """In-edges by destination: the sources of ``v`` are ``indices[indptr[v]:indptr[v + 1]]``."""

    indptr: Tensor  # int64 or int32 [num_dst + 1]
    indices: Tensor  # int32 [num_edges]

    @property
    def num_dst(self) -> int:
        return len(self.indptr) - 1

    def destinations(self) -> Tensor:
        """The destination of each edge: int64 [num_edges]."""
        dst = torch.arange(self.num_dst, device=self.indptr.device)
        return torch.repeat_interleave(dst, self.indptr.diff())

    def of(self, dst: Tensor) -> tuple[Tensor, Tensor]:
        """(row of ``dst``, source node) of every in-edge of the nodes ``dst``: int64 [num_found] each."""
        start = self.indptr[dst]
        degree = self.indptr[dst + 1] - start
        row = torch.repeat_interleave(torch.arange(len(dst), device=dst.device), degree)
        within = torch.arange(len(row), device=dst.device) - (degree.cumsum(0) - degree)[row]
        return row, self.indices[start[row] + within].long()

    def keep(self, kept: Tensor) -> InEdges:
        """The edges where ``kept`` (bool [num_edges]) is true."""
        before = torch.cat([kept.new_zeros(1, dtype=torch.int64), kept.cumsum(0)])
        return InEdges(before[self.indptr], self.indices[kept])


@dataclass(frozen=True)
class GraphTensors:
    """One snapshot of the graph; see ``CoListeningGraph`` for what the fields mean."""

    num_nodes: dict[str, int]
    relations: dict[Relation, InEdges]
    features: dict[str, Tensor]  # float32 [num_nodes, feature_dim]

    @property
    def types(self) -> tuple[str, ...]:
        return tuple(self.num_nodes)

    @property
    def feature_dim(self) -> int:
        return int(next(iter(self.features.values())).shape[1])

    @property
    def num_edges(self) -> int:
        return sum(len(edges.indices) for edges in self.relations.values())

    @property
    def device(self) -> torch.device:
        return next(iter(self.features.values())).device


def to_tensors(graph: CoListeningGraph, device: torch.device) -> GraphTensors:
    """Copy a snapshot to ``device``; raises ArtefactError where text vectors are not finite."""
    for node_type, vectors in graph.features.items():
        if not np.isfinite(vectors).all():
            row = int(np.flatnonzero(~np.isfinite(vectors).all(axis=1))[0])
            raise ArtefactError(
                "a text vector is not finite",
                where=f"graph features of {node_type}, item {row}",
                expected="finite numbers",
                fix="run `graphkit build-graph` again",
            )
    relations = {
        relation: InEdges(torch.from_numpy(csc.indptr).to(device), torch.from_numpy(csc.indices).to(device))
        for relation, csc in graph.relations.items()
    }
    features = {t: torch.from_numpy(graph.features[t]).to(device) for t in graph.types}
    return GraphTensors(graph.num_nodes, relations, features)
