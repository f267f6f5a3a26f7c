"""What a build would cost, from a sample of users: pairs, edges, memory, seconds, before anything is written.

The sample's users are counted as the build would count them. Pairs grow with the users. Neighbours do not: how many a
node has depends on how many listeners it has, so the sample's curve of neighbours by listeners is read at the
listeners each item has in the whole log (a scan of one column), and cut at ``top_k``.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from graphkit.config import Config
from graphkit.datasets.store import Dataset
from graphkit.graph.edges import EdgeCounter
from graphkit.graph.listening import Listening, gather
from graphkit.graph.memory import MemoryLimit
from graphkit.graph.occurrences import Occurrences
from graphkit.graph.playlists import read_playlists
from graphkit.graph.relations import graph_relations, kept_relations
from graphkit.graph.signals import check_row_rules
from graphkit.graph.store import CO_LISTENING, LISTENING, PLAYLIST, Relation
from graphkit.graph.windows import Window, check_window, snapshot_windows
from graphkit.parallel import thread_count
from graphkit.text import item_texts
from graphkit.text_encoder import BYTES_PER_TEXT, ENCODER_BYTES, uncached_texts

#: Users sampled at first, and the pairs counted at which the sample is large enough.
_FIRST_USERS: Final = 1_000
_ENOUGH_PAIRS: Final = 10_000_000
_RANGES: Final = 8
#: Seen on two cores: start-up, one (user, item) pair de-duplicated, one edge merged, written and hashed, one text
#: encoded; and the memory of the libraries, of one edge and of one pair.
_START_SECONDS: Final = 3.0
_SECONDS_PER_PAIR: Final = 0.6e-6
_SECONDS_PER_EDGE: Final = 0.5e-6
_SECONDS_PER_TEXT: Final = 1 / 800
_BASE_BYTES: Final = 330 * 2**20
_BYTES_PER_EDGE: Final = 60
_BYTES_PER_PAIR: Final = 60

#: The sample is small; the limit is for the build.
_NO_LIMIT: Final = MemoryLimit(2**62)

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class BuildEstimate:
    """``relations`` has a row per snapshot and relation with its ``pairs`` (visited by the count) and ``edges``."""

    users: int
    users_sampled: int
    relations: list[dict[str, Any]]
    texts: int
    seconds: float
    memory_bytes: int
    memory_limit_bytes: int

    @property
    def pairs(self) -> int:
        return sum(row["pairs"] for row in self.relations)


def estimate_build(dataset: Dataset, config: Config, text_cache: Path) -> BuildEstimate:
    """Estimate ``build_graph``; raises as it does where the window or a name is wrong."""
    relations = graph_relations(dataset, config.graph)
    limit = MemoryLimit.of(config.graph.memory)
    check_row_rules(dataset, config.graph)
    texts = [text for t in dataset.meta.types for text in item_texts(dataset.items(t))]
    missing = uncached_texts(texts, config.text, text_cache)
    rows: list[dict[str, Any]] = []
    seconds, memory, users = _START_SECONDS + missing * _SECONDS_PER_TEXT, 0, 0
    windows = snapshot_windows(dataset, config.graph.window_days)
    for window in dict.fromkeys(windows.values()):
        name = "+".join(name for name, other in windows.items() if other == window)
        sample = _Sample.draw(dataset, window, config)
        check_window(dataset, name, window, sample.listening.users, sample.listening.pairs)
        users = sample.users
        found = [sample.estimate(relation) for relation in relations]
        rows += [{"snapshot": name, **row} for row in found]
        edges = [row["edges"] for row in found]
        seconds += sample.seconds(sum(row["pairs"] for row in found), sum(edges))
        pairs = sample.listening.pairs * sample.scale
        memory = max(memory, _BASE_BYTES + round(_BYTES_PER_PAIR * pairs + _BYTES_PER_EDGE * max(edges)))
    encoder = (ENCODER_BYTES if missing else 0) + BYTES_PER_TEXT * len(texts)
    memory = max(memory, _BASE_BYTES + encoder)
    return BuildEstimate(
        dataset.meta.num_users, users, rows, missing, round(seconds, 1), memory, memory_limit_bytes=limit.limit
    )


@dataclass(frozen=True)
class _Sample:
    """The listening of a sample of users, and what the whole log says about each item."""

    dataset: Dataset
    config: Config
    listening: Listening
    users: int
    #: Users of the whole over users of the sample.
    scale: float
    #: Listeners of each item in the whole log, estimated: float64 [num_items] per type.
    listeners: dict[str, Floats]
    scan_seconds: float

    @classmethod
    def draw(cls, dataset: Dataset, window: Window, config: Config) -> _Sample:
        log, meta = Occurrences(dataset, window, config.graph), dataset.meta
        started = time.perf_counter()
        rows_of_item = log.rows_per_item()
        scan_seconds = time.perf_counter() - started
        count = min(_FIRST_USERS, meta.num_users)
        while True:
            ranges = _ranges(meta.num_users, count)
            listening = gather(
                log.chunks_of(ranges), meta.num_users, meta.num_items, config.graph, config.run.seed, _NO_LIMIT
            )
            users = sum(last - first + 1 for first, last in ranges)
            owners = sum(np.diff(pairs.by_owner.indptr) for pairs in listening.by_type.values())
            if users >= meta.num_users or int((np.asarray(owners) ** 2).sum()) >= _ENOUGH_PAIRS:
                break
            count = min(2 * count, meta.num_users)
        whole = meta.num_users / max(users, 1)
        distinct = listening.pairs * whole / max(int(rows_of_item["rows"].sum()), 1)
        listeners = {t: np.zeros(size) for t, size in meta.num_items.items()}
        for code, item, rows in rows_of_item.iter_rows():
            listeners[meta.types[code]][item] = max(rows * distinct, 1.0)
        return cls(dataset, config, listening, users, whole, listeners, scan_seconds)

    def estimate(self, relation: Relation) -> dict[str, Any]:
        """The relation's name, pairs and edges in a full build."""
        if relation.kind == LISTENING:
            pairs = len(self.listening.by_type[relation.dst].by_owner.ids) * self.scale
            return {"relation": relation.name, "pairs": 0, "edges": round(pairs)}
        if relation.kind == PLAYLIST:  # counted whole: playlists are few
            counter = self._counter(read_playlists(self.dataset, self.config.graph, self.config.run.seed, _NO_LIMIT))
            whole = counter.edges(relation).count(relation.same_type)
            return {"relation": relation.name, "pairs": counter.raw_pairs(relation), "edges": whole}
        counter = self._counter(self.listening)
        pairs = counter.raw_pairs(relation) * self.scale
        most = pairs / 2 if relation.same_type else pairs  # no edge without a pair of a user's
        edges = min(self._edges(counter, relation), most)
        return {"relation": relation.name, "pairs": round(pairs), "edges": round(edges)}

    def seconds(self, pairs: int, edges: int) -> float:
        """Reading, counting at the sample's speed, and writing."""
        counter = self._counter(self.listening)
        largest = max(
            (r for r in kept_relations(self.dataset.meta.types, ()) if r.kind == CO_LISTENING), key=counter.raw_pairs
        )
        counter.edges(largest)  # compiled, and in the cache
        started = time.perf_counter()
        counter.edges(largest)
        each = (time.perf_counter() - started) / max(counter.raw_pairs(largest), 1)
        reading = 2 * self.scan_seconds + self.listening.pairs * self.scale * _SECONDS_PER_PAIR
        return reading + 2 * pairs * each + edges * _SECONDS_PER_EDGE

    def _edges(self, counter: EdgeCounter, relation: Relation) -> float:
        """Each end keeps what it has, at most ``top_k``; what both keep is one edge, as often as in the sample."""
        if self.scale == 1:
            return counter.edges(relation).count(relation.same_type)
        top_k = self.config.graph.top_k
        unpruned = self._counter(self.listening, top_k=None).edges(relation)
        degrees = {relation.src: np.diff(unpruned.indptr)}
        num_dst = self.dataset.meta.num_items[relation.dst]
        degrees.setdefault(relation.dst, np.bincount(unpruned.dst, minlength=num_dst))
        kept, kept_in_sample = 0.0, 0
        for end, other in dict.fromkeys(((relation.src, relation.dst), (relation.dst, relation.src))):
            most = min(top_k or 2**31, self.dataset.meta.num_items[other])
            counts = self.listening.by_type[end].count
            kept += float(np.minimum(neighbours(self.listeners[end], counts, degrees[end]), most).sum())
            kept_in_sample += int(np.minimum(degrees[end], most).sum())
        in_sample = counter.edges(relation).count(relation.same_type)
        return kept * in_sample / max(kept_in_sample, 1)

    def _counter(self, listening: Listening, top_k: int | None = 0) -> EdgeCounter:
        settings = self.config.graph if top_k == 0 else self.config.graph.model_copy(update={"top_k": top_k})
        threads = thread_count(self.config.run.threads)
        return EdgeCounter(listening.by_type, listening.total, settings, self.config.run.seed, threads, _NO_LIMIT)


def neighbours(wanted: Floats, listeners: npt.NDArray[np.int64], degrees: npt.NDArray[np.int64]) -> Floats:
    """The neighbours of items with ``wanted`` listeners, off the curve of items with ``listeners`` and ``degrees``.

    The curve has a point per doubling of listeners; beyond its ends it goes on as it came, in logarithms.
    """
    met = listeners > 0
    if not met.any():
        return np.zeros_like(wanted)
    bins = np.floor(np.log2(listeners[met])).astype(int)
    size = np.bincount(bins).clip(1)
    x = np.bincount(bins, np.log(listeners[met])) / size
    y = np.log(np.maximum(np.bincount(bins, degrees[met]) / size, 1e-3))
    there = np.bincount(bins) > 0
    x, y = x[there], y[there]
    at = np.log(np.maximum(wanted, 1e-9))
    found = np.interp(at, x, y)
    if len(x) > 1:
        slope = float(np.clip((y[-1] - y[-2]) / max(x[-1] - x[-2], 1e-9), 0, 1))
        found = np.where(at > x[-1], y[-1] + slope * (at - x[-1]), found)
    return np.where(wanted > 0, np.exp(found), 0.0)


def _ranges(num_users: int, count: int) -> list[tuple[int, int]]:
    """About ``count`` users in evenly spaced runs of numbers, both ends inclusive."""
    if count >= num_users:
        return [(0, num_users - 1)]
    starts = np.linspace(0, num_users - count // _RANGES, _RANGES).astype(int)
    return [(int(start), int(start) + count // _RANGES - 1) for start in starts]
