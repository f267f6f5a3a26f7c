"""The graph stage: co-listening edges and text features of every catalogue item (paper 4.1.1)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np

from graphkit import schemas
from graphkit.artefacts import Batch, StageSpec, StageWork, Workspace
from graphkit.config import Config
from graphkit.datasets.store import Dataset
from graphkit.errors import DataError
from graphkit.graph.edges import EdgeCounter, Edges, directed_relations, isolated_nodes, listeners_by_type
from graphkit.graph.prune import Floats
from graphkit.graph.relations import kept_relations, relation_name
from graphkit.graph.snapshots import Window, cap_users, read_pairs, snapshot_windows
from graphkit.graph.store import Csc, Relation, save_graph
from graphkit.parallel import thread_count
from graphkit.progress import say
from graphkit.text import check_text_model, item_texts, language_warning, model_identity
from graphkit.text_encoder import encode_texts

#: Encoded texts are kept here, beside the stages: a batch is replaced, its texts rarely change.
TEXT_CACHE = "text-cache"


@dataclass(frozen=True)
class Snapshot:
    """One snapshot's edges, and what making them left out."""

    window: Window
    edges: dict[Relation, Edges]
    users: int
    users_capped: int
    pairs_cut: int

    def edge_counts(self) -> dict[str, int]:
        return {relation_name(relation): len(edges.src) for relation, edges in self.edges.items()}


def build_graph(workspace: Workspace, config: Config) -> Batch:
    """Build the co-listening graph of the current dataset: both snapshots, and the text features of its items.

    An edge joins two items that at least ``graph.min_support`` users both have among their strong train
    interactions of the snapshot's window. Raises DataError where a window is empty, has one user only, or
    leaves a relation without edges (every relation, under ``empty_relations = "keep"``); ConfigError for an
    unknown relation; InputError where the text model is missing.
    """
    dataset = Dataset.current(workspace)
    relations = kept_relations(dataset.meta.types, config.graph.exclude_relations)
    check_text_model(config.text.model)
    inputs = {"text_model": model_identity(config.text.model)}
    spec = StageSpec.of("graph", config, upstream=[dataset.batch], inputs=inputs)
    if (done := workspace.finished(spec)) is not None:
        return done
    with workspace.begin(spec) as work:
        work.snapshot_id = dataset.batch.manifest.snapshot_id
        started = time.perf_counter()
        snapshots = build_snapshots(dataset, config, relations)
        counted = time.perf_counter()
        features, text_metrics = encode_items(dataset, config, workspace.root / TEXT_CACHE)
        seconds = {"edges": round(counted - started, 2), "text": round(time.perf_counter() - counted, 2)}
        _write(work, dataset, config, snapshots, features)
        work.metrics |= {**text_metrics, "seconds": seconds}
        for warning in (*work.metrics["warnings"], work.metrics["text_warning"]):
            if warning:
                say(f"warning: {warning}")
        return work.commit()


def build_snapshots(dataset: Dataset, config: Config, relations: list[Relation]) -> dict[str, Snapshot]:
    """The ``fit`` and ``serve`` snapshot; equal windows are counted once. Raises DataError as build_graph does."""
    done: dict[Window, Snapshot] = {}
    windows = snapshot_windows(dataset, config.graph.window_days)
    for name, window in windows.items():
        if window not in done:
            done[window] = _build_snapshot(dataset, config, relations, name, window)
    return {name: done[window] for name, window in windows.items()}


def _build_snapshot(
    dataset: Dataset, config: Config, relations: list[Relation], name: str, window: Window
) -> Snapshot:
    rows = read_pairs(dataset, name, window)
    capped = cap_users(rows, config.graph.max_items_per_user, config.run.seed)
    listeners = listeners_by_type(capped.pairs, dataset.meta.num_items, dataset.meta.num_users)
    counter = EdgeCounter(listeners, config.graph, config.run.seed, thread_count(config.run.threads))
    edges = {relation: counter.edges(relation) for relation in relations}
    empty = [relation_name(relation) for relation, found in edges.items() if not len(found.src)]
    if empty and (config.graph.empty_relations == "refuse" or len(empty) == len(edges)):
        raise DataError(
            f"the {name!r} graph has no edges of the relation {' and '.join(empty)}",
            where=str(dataset.batch.folder),
            expected=f"at least one pair of items with {config.graph.min_support} users in common, {window}",
            found=f"{capped.pairs.height} (user, item) pairs of {rows[schemas.USER].n_unique()} users",
            fix="lower graph.min_support, widen graph.window_days (none: all of train), or leave the relation out: "
            f"--set graph.exclude_relations=[{','.join(empty)}], or keep it: --set graph.empty_relations=keep",
        )
    return Snapshot(window, edges, rows[schemas.USER].n_unique(), capped.users_capped, capped.pairs_cut)


def encode_items(dataset: Dataset, config: Config, cache: Path) -> tuple[dict[str, Floats], dict[str, Any]]:
    """Text features float32 [num_items, dim] of each type, and the metrics about them."""
    items = dataset.items()
    texts = {t: item_texts(items.filter(items[schemas.ITEM_TYPE] == t)) for t in dataset.meta.types}
    every = [text for of_type in texts.values() for text in of_type]
    vectors = encode_texts(every, config.text, cache, thread_count(config.run.threads))
    ends = np.cumsum([len(of_type) for of_type in texts.values()])
    features = dict(zip(texts, np.split(vectors, ends[:-1]), strict=True))
    coverage = {
        t: round(sum(text is not None for text in found) / max(len(found), 1), 4) for t, found in texts.items()
    }
    warning = language_warning(config.text.model, items[schemas.LANGUAGE].unique().to_list())
    if not any(every):
        warning = "no item has a title or a description: every text feature is zero"
    return features, {"text_coverage": coverage, "text_warning": warning}


def _write(
    work: StageWork, dataset: Dataset, config: Config, snapshots: dict[str, Snapshot], features: dict[str, Floats]
) -> None:
    num_items = dataset.meta.num_items
    directed = {name: directed_relations(snapshot.edges, num_items) for name, snapshot in snapshots.items()}
    windows = _data_window(snapshots)
    about = {"weight": config.graph.weight, "text_model": config.text.model, "windows": windows}
    save_graph(work.folder, dict(num_items), directed, features, about)
    for name, snapshot in snapshots.items():
        for (a, b), edges in snapshot.edges.items():
            path = work.path(f"edges/{name}/{quote(a, safe='')}__{quote(b, safe='')}.parquet")
            edges.frame().write_parquet(path, row_group_size=1_000_000)
    work.data_window = windows
    work.row_counts = {
        f"{name}/{relation}": count
        for name, snapshot in snapshots.items()
        for relation, count in snapshot.edge_counts().items()
    }
    work.metrics |= _metrics(snapshots, directed, num_items)


def _metrics(
    snapshots: Mapping[str, Snapshot], directed: Mapping[str, dict[Relation, Csc]], num_items: Mapping[str, int]
) -> dict[str, Any]:
    return {
        "edges": {name: snapshot.edge_counts() for name, snapshot in snapshots.items()},
        "isolated_nodes": {name: isolated_nodes(found, num_items) for name, found in directed.items()},
        "users": {name: snapshot.users for name, snapshot in snapshots.items()},
        "users_capped": {name: snapshot.users_capped for name, snapshot in snapshots.items()},
        "pairs_cut": {name: snapshot.pairs_cut for name, snapshot in snapshots.items()},
        "warnings": [
            f"the relation {relation} has no edges in the {name!r} graph"
            for name, snapshot in snapshots.items()
            for relation, count in snapshot.edge_counts().items()
            if not count
        ],
    }


def _data_window(snapshots: Mapping[str, Snapshot]) -> dict[str, str | None]:
    return {
        f"{name}_{edge}": when.isoformat() if when else None
        for name, snapshot in snapshots.items()
        for edge, when in (("start", snapshot.window.start), ("end", snapshot.window.end))
    }
