"""The co-listening graph as tensors on a device."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from graphkit.errors import ArtefactError
from graphkit.graph.store import LISTENING, USER_NODE, CoListeningGraph, Relation


@dataclass(frozen=True)
class InEdges:
    """In-edges by destination: the sources of ``v`` are ``indices[indptr[v]:indptr[v + 1]]``."""

    indptr: Tensor  # int64 or int32 [num_dst + 1]
    indices: Tensor  # int32 [num_edges]
    weight: Tensor | None = None  # float32 [num_edges]

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

    def at(self, indptr: Tensor, positions: Tensor) -> InEdges:
        """The edges that stand at ``positions``, as the in-edges that ``indptr`` says."""
        return InEdges(indptr, self.indices[positions], None if self.weight is None else self.weight[positions])

    def keep(self, kept: Tensor) -> InEdges:
        """The edges where ``kept`` (bool [num_edges]) is true."""
        before = torch.cat([kept.new_zeros(1, dtype=torch.int64), kept.cumsum(0)])
        return self.at(before[self.indptr], torch.nonzero(kept).flatten())

    def without_rows(self, bare: Tensor) -> InEdges:
        """The same destinations, those that ``bare`` (bool [num_dst]) marks without any in-edge."""
        degree = self.indptr.diff()
        kept = torch.nonzero(torch.repeat_interleave(~bare, degree)).flatten()
        ends = torch.where(bare, 0, degree).cumsum(0).to(self.indptr.dtype)
        return self.at(torch.cat([self.indptr[:1], ends]), kept)

    def rows(self, start: int, stop: int) -> InEdges:
        """The in-edges of the destinations from ``start`` to ``stop``, numbered from 0."""
        indptr = self.indptr[start : stop + 1]
        edges = slice(int(indptr[0]), int(indptr[-1]))
        weight = None if self.weight is None else self.weight[edges]
        return InEdges((indptr - indptr[0]).int(), self.indices[edges], weight)


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
    def item_types(self) -> tuple[str, ...]:
        """The types of the catalogue: all but the users of the tripartite graph."""
        with_users = any(relation.kind == LISTENING for relation in self.relations)
        return tuple(t for t in self.types if not (with_users and t == USER_NODE))

    @property
    def feature_dim(self) -> int:
        return int(next(iter(self.features.values())).shape[1])

    @property
    def device(self) -> torch.device:
        return next(iter(self.features.values())).device

    def keys(self, relation: Relation) -> Tensor:
        """A number per edge, ascending, equal for equal ends: int64 [num_edges]."""
        edges = self.relations[relation]
        return self._key(relation, edges.indices, edges.destinations())

    def find(self, relation: Relation, src: Tensor, dst: Tensor) -> Tensor:
        """Where the edges ``src`` → ``dst`` stand among the relation's; -1 where there is none: int64 [n]."""
        keys, wanted = self.keys(relation), self._key(relation, src, dst)
        if not len(keys):
            return torch.full_like(wanted, -1)
        position = torch.searchsorted(keys, wanted).clamp_max(len(keys) - 1)
        return torch.where(keys[position] == wanted, position, -1)

    @cached_property
    def neighbours(self) -> dict[tuple[str, str], InEdges]:
        """By (neighbour type, type): the nodes that an edge of any kind, in either direction, joins to a node."""
        pairs = dict.fromkeys(ends for r in self.relations for ends in ((r.src, r.dst), (r.dst, r.src)))
        return {ends: self._joined(*ends) for ends in pairs}

    def _joined(self, src: str, dst: str) -> InEdges:
        there = [r for r in self.relations if (r.src, r.dst) == (src, dst)]
        back = [r.reverse for r in self.relations if (r.dst, r.src) == (src, dst)]
        turned = [self.relations[r.reverse] for r in back]
        back_keys = [self._key(r, e.destinations(), e.indices) for r, e in zip(back, turned, strict=True)]
        keys = torch.unique(torch.cat([*map(self.keys, there), *back_keys]))
        for relation in there:
            if len(self.relations[relation].indices) == len(keys):  # then it holds all of them
                return self.relations[relation]
        starts = torch.arange(self.num_nodes[dst] + 1, device=self.device) * self.num_nodes[src]
        return InEdges(torch.searchsorted(keys, starts), (keys % max(self.num_nodes[src], 1)).int())

    def _key(self, relation: Relation, src: Tensor, dst: Tensor) -> Tensor:
        return dst.long() * self.num_nodes[relation.src] + src


def to_tensors(graph: CoListeningGraph, device: torch.device) -> GraphTensors:
    """Copy a snapshot to ``device``; nodes of a type without text vectors (users) get zeros.

    Raises ArtefactError where text vectors are not finite.
    """
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
        relation: InEdges(*(torch.from_numpy(part).to(device) for part in (csc.indptr, csc.indices, csc.weight)))
        for relation, csc in graph.relations.items()
    }
    features = {t: torch.from_numpy(vectors).to(device) for t, vectors in graph.features.items()}
    nothing = torch.zeros(1, next(iter(features.values())).shape[1], device=device)
    every = {t: features.get(t, nothing.expand(n, -1)) for t, n in graph.num_nodes.items()}  # one row in memory
    return GraphTensors(graph.num_nodes, relations, every)
