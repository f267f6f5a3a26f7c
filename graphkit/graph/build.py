"""The graph stage: the edges of both snapshots, and text features of every catalogue item (paper 4.1.1)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from graphkit.artefacts import Batch, StageSpec, StageWork, Workspace
from graphkit.config import Config
from graphkit.datasets.store import Dataset
from graphkit.graph.memory import MemoryLimit
from graphkit.graph.relations import graph_relations
from graphkit.graph.snapshots import SnapshotWriter, Written
from graphkit.graph.store import LISTENING, USER_NODE, Relation, save_about
from graphkit.graph.update import Base, find_base
from graphkit.graph.windows import snapshot_windows
from graphkit.parallel import thread_count
from graphkit.progress import say
from graphkit.text import NO_MODEL, check_text_model, item_texts, language_warning, model_identity, random_vectors
from graphkit.text_encoder import BYTES_PER_TEXT, ENCODER_BYTES, encode_texts, uncached_texts

#: Encoded texts are kept here, beside the stages: a batch is replaced, its texts rarely change.
TEXT_CACHE = "text-cache"


def build_graph(workspace: Workspace, config: Config) -> Batch:
    """Build the graph of the current dataset: both snapshots, and the text features of its items.

    A co-listening edge joins two items that at least ``graph.min_support`` users both have among their train
    interactions of the snapshot's window that count. Raises DataError where a window is empty, has one user only,
    or leaves a relation without edges (every relation, under ``empty_relations = "keep"``); ConfigError for an
    unknown relation or signal, or too small a memory limit; InputError where the text model is missing.
    """
    dataset = Dataset.current(workspace)
    relations = graph_relations(dataset, config.graph)
    limit = MemoryLimit.of(config.graph.memory)
    check_text_model(config.text.model)
    inputs = {"text_model": model_identity(config.text.model)}
    spec = StageSpec.of("graph", config, upstream=[dataset.batch], inputs=inputs)
    if (done := workspace.finished(spec)) is not None:
        return done
    base = find_base(workspace, dataset, spec, config) if config.graph.incremental else None
    with workspace.begin(spec) as work:
        work.snapshot_id = dataset.batch.manifest.snapshot_id
        started = time.perf_counter()
        written = write_snapshots(work, dataset, config, relations, limit, base)
        counted = time.perf_counter()
        features, text_metrics = encode_items(dataset, config, workspace.root / TEXT_CACHE, limit)
        seconds = {"edges": round(counted - started, 2), "text": round(time.perf_counter() - counted, 2)}
        _finish(work, dataset, config, written, features)
        work.metrics |= {**text_metrics, "seconds": seconds, "base": base.batch.id if base else None}
        for warning in (*work.metrics["warnings"], work.metrics["text_warning"]):
            if warning:
                say(f"warning: {warning}")
        return work.commit()


def write_snapshots(
    work: StageWork,
    dataset: Dataset,
    config: Config,
    relations: list[Relation],
    limit: MemoryLimit,
    base: Base | None = None,
) -> dict[str, Written]:
    """Count and write the ``fit`` and ``serve`` snapshot; equal windows are counted once.

    Raises as ``build_graph`` does.
    """
    windows = snapshot_windows(dataset, config.graph.window_days)
    written: dict[str, Written] = {}
    for window in dict.fromkeys(windows.values()):
        names = [name for name, its_window in windows.items() if its_window == window]
        writer = SnapshotWriter(work.folder, dataset, config, limit, names, window, base)
        written |= dict.fromkeys(names, writer.write(relations))
    return {name: written[name] for name in windows}


def encode_items(
    dataset: Dataset, config: Config, cache: Path, limit: MemoryLimit
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Text features float32 [num_items, dim] of each type, and the metrics about them.

    Under ``text.model = "none"`` they are random vectors, and no text is read.
    """
    if config.text.model == NO_MODEL:
        features = {t: random_vectors(config.run.seed, t, count) for t, count in dataset.meta.num_items.items()}
        return features, {"text_coverage": dict.fromkeys(features, 0.0), "text_warning": None}
    items = dataset.items()
    of_type = {t: items.filter(items["item_type"] == t) for t in dataset.meta.types}
    texts = {t: item_texts(frame) for t, frame in of_type.items()}
    every = [text for found in texts.values() for text in found]
    encoder = ENCODER_BYTES if uncached_texts(every, config.text, cache) else 0
    limit.check("encode the texts", encoder + BYTES_PER_TEXT * len(every))
    vectors = encode_texts(every, config.text, cache, thread_count(config.run.threads))
    ends = np.cumsum([len(found) for found in texts.values()])
    features = dict(zip(texts, np.split(vectors, ends[:-1]), strict=True))
    coverage = {
        t: round(sum(text is not None for text in found) / max(len(found), 1), 4) for t, found in texts.items()
    }
    warning = language_warning(config.text.model, items["language"].unique().to_list())
    if not any(every):
        warning = "no item has a title or a description: every text feature is zero"
    return features, {"text_coverage": coverage, "text_warning": warning}


def _finish(
    work: StageWork, dataset: Dataset, config: Config, written: Mapping[str, Written], features: dict[str, Any]
) -> None:
    settings, first = config.graph, next(iter(written.values()))
    windows = {
        f"{name}_{edge}": when.isoformat() if when else None
        for name, snapshot in written.items()
        for edge, when in (("start", snapshot.window.start), ("end", snapshot.window.end))
    }
    about = {
        "weight": settings.weight,
        "prune": settings.prune,
        "text_model": config.text.model,
        "windows": windows,
    }
    users = {USER_NODE: dataset.meta.num_users} if LISTENING in settings.kinds else {}
    save_about(work.folder, {**users, **dataset.meta.num_items}, list(first.edges), features, about)
    work.data_window = windows
    work.row_counts = {
        f"{name}/{relation.name}": count
        for name, snapshot in written.items()
        for relation, count in snapshot.edges.items()
    }
    work.metrics |= _metrics(written)


def _metrics(written: Mapping[str, Written]) -> dict[str, Any]:
    counts = ("users", "users_capped", "pairs", "pairs_cut", "rows_too_short", "pairs_counted", "isolated_nodes")
    return {
        "edges": {name: {r.name: n for r, n in found.edges.items()} for name, found in written.items()},
        **{key: {name: getattr(found, key) for name, found in written.items()} for key in counts},
        "warnings": list(dict.fromkeys(w for name, found in written.items() for w in found.warnings(name))),
    }
