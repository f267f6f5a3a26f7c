"""From a snapshot's pairs to its undirected edges, relation by relation."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.config.sections import GraphSection
from graphkit.graph.pairs import DirectedPairs, Ints, Listeners, block_bounds, count_block
from graphkit.graph.prune import MAX_BLOCK_ROWS, Floats, edge_weight, strongest
from graphkit.graph.relations import relation_name
from graphkit.graph.snapshots import TYPE_CODE
from graphkit.graph.store import Csc, Relation
from graphkit.graph.ties import tie_order
from graphkit.parallel import map_in_order
from graphkit.progress import track

#: User pairs counted at a time and thread: about 100 MB each.
MAX_BLOCK_PAIRS: Final = 2_000_000


@dataclass(frozen=True)
class Edges:
    """The undirected edges of one relation (a, b), by (src, dst); for a == b, src < dst."""

    src: npt.NDArray[np.uint32]  # [num_edges], items of a
    dst: npt.NDArray[np.uint32]  # [num_edges], items of b
    support: npt.NDArray[np.uint32]  # [num_edges]
    weight: Floats  # [num_edges]

    def frame(self) -> pl.DataFrame:
        """As the table people read."""
        return pl.DataFrame({"src": self.src, "dst": self.dst, "support": self.support, "weight": self.weight})


@dataclass(frozen=True)
class EdgeCounter:
    """Counts the edges of one snapshot under one set of rules."""

    listeners: Mapping[str, Listeners]  # by item type
    settings: GraphSection
    seed: int
    threads: int = 1

    def edges(self, relation: Relation) -> Edges:
        """The edges of a relation: what either endpoint has among its strongest ``top_k``."""
        a, b = relation
        width = len(self.listeners[b].count)
        keys, supports = [], []
        # Without top_k one direction finds every edge; with it each end has its own say.
        for src, dst in (relation,) if self.settings.top_k is None else dict.fromkeys((relation, (b, a))):
            for found in self._directed(src, dst):
                ends = (found.src, found.dst) if (src, dst) == relation else (found.dst, found.src)
                low, high = (np.minimum(*ends), np.maximum(*ends)) if a == b else ends
                keys.append(low * width + high)
                supports.append(found.support)
        key, at = np.unique(_concat(keys), return_index=True)
        low, high, support = key // max(width, 1), key % max(width, 1), _concat(supports)[at]
        weight = self._weight(support, self.listeners[a].count[low], self.listeners[b].count[high])
        return Edges(low.astype(np.uint32), high.astype(np.uint32), support.astype(np.uint32), weight)

    def _directed(self, src: str, dst: str) -> Iterator[DirectedPairs]:
        blocks = block_bounds(self.listeners[src], self.listeners[dst], MAX_BLOCK_PAIRS, MAX_BLOCK_ROWS)
        found = map_in_order(lambda bounds: self._block(src, dst, bounds), blocks, self.threads)
        return track(found, f"{relation_name((src, dst))} edges", total=len(blocks))

    def _block(self, src: str, dst: str, bounds: tuple[int, int]) -> DirectedPairs:
        ends = self.listeners[src], self.listeners[dst]
        pairs = count_block(*ends, bounds, self.settings.min_support, same_type=src == dst)
        weight = self._weight(pairs.support, ends[0].count[pairs.src], ends[1].count[pairs.dst])
        return pairs.where(strongest(pairs.dst, weight, self._tie(src, dst, pairs), self.settings.top_k))

    def _weight(self, support: Ints, src_count: Ints, dst_count: Ints) -> Floats:
        return edge_weight(self.settings.weight, support, src_count, dst_count)

    def _tie(self, src: str, dst: str, pairs: DirectedPairs) -> npt.NDArray[np.uint64]:
        types = list(self.listeners)
        ends = (pairs.src | (types.index(src) << 32)), (pairs.dst | (types.index(dst) << 32))
        one, other = (tie_order(end, self.seed) for end in ends)
        return tie_order(one + (other << np.uint64(1)), self.seed)


def listeners_by_type(pairs: pl.DataFrame, num_items: Mapping[str, int], num_users: int) -> dict[str, Listeners]:
    """The user-item matrix of each type, from the ``user``, ``type_code``, ``item`` pairs of a snapshot."""
    return {
        item_type: Listeners.of(
            rows[schemas.USER].to_numpy().astype(np.int32),
            rows[schemas.ITEM].to_numpy().astype(np.int32),
            (num_users, size),
        )
        for code, (item_type, size) in enumerate(num_items.items())
        for rows in [pairs.filter(pl.col(TYPE_CODE) == code)]
    }


def directed_relations(edges: Mapping[Relation, Edges], num_items: Mapping[str, int]) -> dict[Relation, Csc]:
    """The in-edges of both directions of each relation; of a same-type one, once and symmetric."""
    directed: dict[Relation, Csc] = {}
    for (a, b), found in edges.items():
        if a == b:
            both = np.concatenate([found.src, found.dst]), np.concatenate([found.dst, found.src])
            directed[a, a] = _csc(*both, np.tile(found.weight, 2), num_items[a])
        else:
            directed[a, b] = _csc(found.src, found.dst, found.weight, num_items[b])
            directed[b, a] = _csc(found.dst, found.src, found.weight, num_items[a])
    return directed


def _csc(src: npt.NDArray[np.uint32], dst: npt.NDArray[np.uint32], weight: Floats, num_dst: int) -> Csc:
    order = np.lexsort((src, dst))
    indptr = np.concatenate([[0], np.cumsum(np.bincount(dst, minlength=num_dst))]).astype(np.int64)
    return Csc(indptr, src[order].astype(np.int32), weight[order])


def isolated_nodes(relations: Mapping[Relation, Csc], num_items: Mapping[str, int]) -> dict[str, int]:
    """Nodes of each type without a single edge."""
    touched = {item_type: np.zeros(size, bool) for item_type, size in num_items.items()}
    for (_, dst), csc in relations.items():
        touched[dst] |= np.diff(csc.indptr) > 0
    return {item_type: int((~seen).sum()) for item_type, seen in touched.items()}


def _concat(parts: Sequence[Ints]) -> Ints:
    return np.concatenate([np.zeros(0, np.int64), *parts])
