"""From a window's matrices to the edges of a relation: counted, weighed, pruned, and the same from both ends."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit.config.sections import GraphSection
from graphkit.graph.counting import EdgeBlock, block_bounds, count_block, pairs_per_item
from graphkit.graph.incidence import Floats, Incidence, Ints, Longs, offsets, turned
from graphkit.graph.kernel import Rules
from graphkit.graph.memory import MemoryLimit
from graphkit.graph.prune import InEdges, merged
from graphkit.graph.store import Csc, Relation
from graphkit.graph.weights import formula
from graphkit.parallel import map_in_order
from graphkit.progress import track

#: Blocks per thread, at least, so that no thread waits long for the last one.
_BLOCKS_PER_THREAD: Final = 16
#: Pairs of a block, at most: what it keeps without top_k is a fraction of them.
_MAX_BLOCK_PAIRS: Final = 50_000_000
_DAY_MS: Final = 86_400_000
#: What an edge takes while the two directions of its relation are merged, seen from outside.
_BYTES_PER_EDGE: Final = 64


class Edges(NamedTuple):
    """The edges of one relation by source node, destinations ascending.

    A same-type relation has each edge in both directions. ``at_src`` and ``at_dst`` say at which end the edge is
    an in-edge: at both, unless pruning is by destination.
    """

    indptr: Longs  # [num_src + 1]
    dst: Ints  # [num_edges]
    support: Ints  # [num_edges]
    weight: Floats  # [num_edges]
    at_src: npt.NDArray[np.bool_]  # [num_edges]
    at_dst: npt.NDArray[np.bool_]  # [num_edges]

    def count(self, same_type: bool) -> int:
        """Undirected edges."""
        return len(self.dst) // 2 if same_type else len(self.dst)

    def table(self, same_type: bool, max_rows: int = 2_000_000) -> Iterator[pl.DataFrame]:
        """The undirected edges by (src, dst), for a same-type relation with src < dst, in slices."""
        step = max(len(self.indptr) // max(len(self.dst) // max_rows, 1), 1)
        for first in range(0, max(len(self.indptr) - 1, 1), step):  # without a single node, one empty slice
            last = min(first + step, len(self.indptr) - 1)
            yield self._slice(first, last, same_type)

    def _slice(self, first: int, last: int, same_type: bool) -> pl.DataFrame:
        begin, end = self.indptr[first], self.indptr[last]
        src = np.repeat(np.arange(first, last, dtype=np.uint32), np.diff(self.indptr[first : last + 1]))
        columns = {name: values[begin:end] for name, values in zip(self._fields[1:], self[1:], strict=True)}
        frame = pl.DataFrame({"src": src, **columns}).with_columns(pl.col("dst", "support").cast(pl.UInt32))
        return frame.filter(pl.col("src") < pl.col("dst")) if same_type else frame


@dataclass(frozen=True)
class EdgeCounter:
    """Counts the edges between the item types of one window (or of the playlists) under one set of rules."""

    by_type: Mapping[str, Incidence]
    total: float
    settings: GraphSection
    seed: int
    threads: int
    limit: MemoryLimit

    def edges(self, relation: Relation) -> Edges:
        """The edges of a relation; raises ConfigError where they do not fit the memory limit."""
        top_k = self.settings.top_k
        if top_k is not None:
            self.limit.check(
                f"count the edges of {relation.name}", self._most_edges(relation, top_k) * _BYTES_PER_EDGE
            )
        own = self._in_edges(relation.reverse)  # rows are the relation's sources
        other = own if relation.same_type or top_k is None else self._in_edges(relation)
        return Edges(*merged(own, other, self.settings.prune, whole=top_k is None))

    def raw_pairs(self, relation: Relation) -> int:
        """The pairs of items that owners have, each owner's each pair: what a count from one end visits."""
        src, dst = self.by_type[relation.src], self.by_type[relation.dst]
        return int(pairs_per_item(src.by_owner, dst.by_item).sum())

    def _most_edges(self, relation: Relation, top_k: int) -> int:
        """A bound of the directed edges that are kept."""
        sizes = [self.by_type[t].num_items for t in (relation.src, relation.dst)]
        most = sum(n * min(top_k, m) for n, m in zip(sizes, reversed(sizes), strict=True))
        return min(most // (2 if relation.same_type else 1), 2 * self.raw_pairs(relation))

    def _in_edges(self, relation: Relation) -> InEdges:
        """The in-edges of the destinations, complete, each destination with its own choice of ``top_k``."""
        src, dst = self.by_type[relation.src], self.by_type[relation.dst]
        weighs = formula(self.settings.weight, src.mass, dst.mass, self.total, self.settings.shrinkage)
        rules = self._rules(relation)
        per_block = self.raw_pairs(relation) // (self.threads * _BLOCKS_PER_THREAD) + 1
        bounds = block_bounds(src.by_owner, dst.by_item, min(per_block, _MAX_BLOCK_PAIRS))
        blocks = map_in_order(
            lambda at: count_block(src.by_owner, dst.by_item, at, weighs, rules), bounds, self.threads
        )
        return self._collected(track(blocks, f"{relation.src} to {relation.dst}", total=len(bounds)), relation.name)

    def _collected(self, blocks: Iterator[EdgeBlock], name: str) -> InEdges:
        none = np.zeros(0, np.int32)
        nothing = EdgeBlock(np.zeros(0, np.int64), none, none, np.zeros(0, np.float32))
        degrees, parts = [nothing.degree], [nothing]
        found, fits = 0, True
        for block in blocks:
            degrees.append(block.degree)
            found += len(block.src)
            if fits and (self.settings.top_k is not None or found * _BYTES_PER_EDGE < self.limit.free):
                parts.append(block)
            else:  # the count goes on without the edges, to say how much memory would do
                fits = False
                parts.clear()
        if not fits:
            raise self.limit.too_small(f"keep all {found:,} edges of {name}", found * _BYTES_PER_EDGE)
        arrays = (np.concatenate([part[k] for part in parts]) for k in (1, 2, 3))
        return InEdges(offsets(np.concatenate(degrees)), *arrays)

    def _rules(self, relation: Relation) -> Rules:
        gap = self.settings.max_gap_days
        return Rules(
            self.settings.min_support,
            self.settings.top_k or 0,
            relation.same_type,
            0 if gap is None else max(round(gap * _DAY_MS), 1),
            self.seed,
        )


def directed(relation: Relation, edges: Edges, num_dst: int) -> Iterator[tuple[Relation, Csc]]:
    """The in-edges of both directions of a relation; of a same-type one, once."""
    yield relation.reverse, _csc(edges.indptr, edges.dst, edges.weight, edges.at_src)
    if not relation.same_type:
        indptr, index, order = turned(edges.indptr, edges.dst, num_dst)
        yield relation, _csc(indptr, index, edges.weight[order], edges.at_dst[order])


def _csc(indptr: Longs, index: Ints, weight: Floats, keep: npt.NDArray[np.bool_]) -> Csc:
    if keep.all():
        return Csc(indptr, index, weight)
    before = offsets(keep)
    return Csc(before[indptr], index[keep], weight[keep])
