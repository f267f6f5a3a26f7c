"""One snapshot of the graph, from its window of the log to its files, one relation at a time."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.config import Config
from graphkit.datasets.store import Dataset
from graphkit.errors import DataError
from graphkit.graph.edges import EdgeCounter, Edges, directed
from graphkit.graph.incidence import Incidence, first_of_list, offsets, turned
from graphkit.graph.listening import Listening, gather
from graphkit.graph.memory import MemoryLimit
from graphkit.graph.occurrences import Occurrences
from graphkit.graph.playlists import read_playlists
from graphkit.graph.signals import check_row_rules, counting_rows, signal_weights
from graphkit.graph.store import CO_LISTENING, LISTENING, PLAYLIST, USER_NODE, Relation, edge_table, save_csc
from graphkit.graph.update import Base, StateWriter
from graphkit.graph.windows import Window, check_window
from graphkit.parallel import thread_count
from graphkit.parquet import GrowingTable


@dataclass
class Written:
    """What a snapshot holds, and what making it left out."""

    window: Window
    users: int = 0
    users_capped: int = 0
    pairs: int = 0
    pairs_cut: int = 0
    rows_too_short: int = 0
    pairs_counted: int = 0
    edges: dict[Relation, int] = field(default_factory=dict)
    without_playlists: list[str] = field(default_factory=list)
    isolated_nodes: dict[str, int] = field(default_factory=dict)

    def warnings(self, name: str) -> list[str]:
        empty = [relation.name for relation, count in self.edges.items() if not count]
        absent = [
            f"no playlist has a pair for {relation}: the relation is left out" for relation in self.without_playlists
        ]
        return [*absent, *(f"the relation {relation} has no edges in the {name!r} graph" for relation in empty)]


@dataclass(frozen=True)
class SnapshotWriter:
    """Counts the edges of a window and writes them under each of ``names`` (more than one: equal windows)."""

    folder: Path
    dataset: Dataset
    config: Config
    limit: MemoryLimit
    names: Sequence[str]
    window: Window
    base: Base | None = None

    def write(self, relations: Sequence[Relation]) -> Written:
        """Write every relation; raises DataError for an empty window, or a relation without edges."""
        listening = self._read_listening()
        check_window(self.dataset, self.names[0], self.window, listening.users, listening.pairs)
        found = Written(self.window, listening.users, listening.users_capped, listening.pairs, listening.pairs_cut)
        found.rows_too_short = self._rows_too_short()
        touched = {t: np.zeros(size, np.bool_) for t, size in self.dataset.meta.num_items.items()}
        counters = {CO_LISTENING: self._counter(listening)}
        kinds = {relation.kind for relation in relations}
        if PLAYLIST in kinds:
            playlists = read_playlists(self.dataset, self.config.graph, self.config.run.seed, self.limit)
            counters[PLAYLIST] = self._counter(playlists)
        for relation in relations:
            if relation.kind == LISTENING:
                edges = listened(listening.by_type[relation.dst])
            else:
                edges = counters[relation.kind].edges(relation)
                found.pairs_counted += counters[relation.kind].raw_pairs(relation)
            if relation.kind == PLAYLIST and not len(edges.dst):  # which types meet is up to the playlists
                found.without_playlists.append(relation.name)
                continue
            found.edges[relation] = edges.count(relation.same_type)
            self._write(relation, edges, touched)
        self._refuse_empty(found)
        found.isolated_nodes = {t: int((~seen).sum()) for t, seen in touched.items()}
        if LISTENING in kinds:
            found.isolated_nodes[USER_NODE] = self.dataset.meta.num_users - listening.users
        return found

    def _read_listening(self) -> Listening:
        settings, meta = self.config.graph, self.dataset.meta
        check_row_rules(self.dataset, settings)
        older = self.base.occurrences(self.names[0], self.window) if self.base else None
        chunks = Occurrences(self.dataset, self.window, settings, older).chunks(self.limit)
        seed = self.config.run.seed
        if not settings.incremental:
            return gather(chunks, meta.num_users, meta.num_items, settings, seed, self.limit)
        with StateWriter(self.folder, self.names) as state:
            return gather(chunks, meta.num_users, meta.num_items, settings, seed, self.limit, state.append)

    def _counter(self, listening: Listening) -> EdgeCounter:
        threads = thread_count(self.config.run.threads)
        return EdgeCounter(
            listening.by_type, listening.total, self.config.graph, self.config.run.seed, threads, self.limit
        )

    def _write(self, relation: Relation, edges: Edges, touched: dict[str, npt.NDArray[np.bool_]]) -> None:
        name, *copies = self.names
        with GrowingTable(self.folder / edge_table(name, relation)) as table:
            for frame in edges.table(relation.same_type):
                table.append(frame)
        num_dst = self.dataset.meta.num_items[relation.dst]
        for direction, csc in directed(relation, edges, num_dst):
            for snapshot in self.names:
                save_csc(self.folder, snapshot, direction, csc)
            if direction.dst in touched:
                touched[direction.dst] |= np.diff(csc.indptr) > 0
        for snapshot in copies:
            path = self.folder / edge_table(snapshot, relation)
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(self.folder / edge_table(name, relation), path)

    def _refuse_empty(self, found: Written) -> None:
        empty = [relation.name for relation, count in found.edges.items() if not count]
        settings = self.config.graph
        if not empty or (settings.empty_relations == "keep" and any(found.edges.values())):
            return
        raise DataError(
            f"the {self.names[0]!r} graph has no edges of the relation {' and '.join(empty)}",
            where=str(self.dataset.batch.folder),
            expected=f"at least one pair of items with {settings.min_support} users in common, {self.window}",
            found=f"{found.pairs} (user, item) pairs of {found.users} users",
            fix="lower graph.min_support, widen graph.window_days (none: all of train), or leave the relation out: "
            f"--set graph.exclude_relations=[{','.join(empty)}], or keep it: --set graph.empty_relations=keep",
        )

    def _rows_too_short(self) -> int:
        if self.config.graph.min_seconds == 0:
            return 0
        long_enough = pl.col(schemas.SECONDS) >= self.config.graph.min_seconds
        return self._count(self.window.filter() & ~long_enough.fill_null(False))

    def _count(self, rows: pl.Expr) -> int:
        weights = signal_weights(self.dataset.meta, self.config.graph.signal_weights)
        counting = counting_rows(self.dataset.interactions(schemas.TRAIN), weights, min_seconds=0)
        return int(counting.select(rows.sum()).collect(engine="streaming").item())


def listened(pairs: Incidence) -> Edges:
    """The edges from users to the items they listened to (the tripartite graph, paper 5.1.3)."""
    indptr, index, order = turned(pairs.by_item.indptr, pairs.by_item.ids, pairs.num_owners)
    first = first_of_list(indptr, index)  # under a gap limit a pair stands several times
    weight = pairs.by_item.weight[order] if len(pairs.by_item.weight) else np.ones(len(index), np.float32)
    ones, both = np.ones(int(first.sum()), np.int32), np.ones(int(first.sum()), np.bool_)
    return Edges(offsets(first)[indptr], index[first], ones, weight[first], both, both)
