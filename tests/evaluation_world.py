"""Small workspaces for the tests of evaluation and report: a dataset from rows, and made-up models."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from graphkit.artefacts import Batch, StageSpec, Workspace
from graphkit.config import load_config
from graphkit.datasets.store import Dataset, DatasetMeta, write_meta
from graphkit.graph.store import CO_LISTENING, SNAPSHOTS, Csc, Relation, edge_table, save_about, save_csc
from graphkit.vectors import save_vectors

CUTOFF = datetime(2024, 6, 1, tzinfo=UTC)
CONFIG = load_config(
    "default",
    ["evaluation.bootstrap=50", "peers.models=[popularity, item-knn]", "peers.trials=1", "run.threads=1"],
)


class Row(NamedTuple):
    """One interaction, ``days_before`` the cut-off."""

    user: int
    item_type: str
    item: int
    split: str = "train"
    signal: str = "stream"
    days_before: float = 1.0


def write_dataset(
    root: Path, rows: Iterable[Row], num_items: dict[str, int], num_users: int, timed: bool = True, **meta: Any
) -> Dataset:
    """The dataset batch of a fresh workspace; all types are targets unless ``meta`` says otherwise."""
    workspace = Workspace(root)
    with workspace.begin(StageSpec.of("dataset", CONFIG, inputs={"rows": str(meta)})) as work:
        _frame(rows, timed).write_parquet(work.path("interactions/part-00000.parquet"))
        _items(num_items).write_parquet(work.path("items.parquet"))
        pl.DataFrame({"user": range(num_users)}, schema={"user": pl.UInt32}).write_parquet(work.path("users.parquet"))
        types = tuple(num_items)
        facts: dict[str, Any] = {
            "name": "small <world>",
            "types": types,
            "targets": types,
            "strong": ("stream",),
            "weak": ("preview",),
            "split": "time" if timed else "fixed",
            "cutoff": CUTOFF if timed else None,
            "label_start": CUTOFF - timedelta(days=14) if timed else None,
            "num_users": num_users,
            "num_items": num_items,
        }
        write_meta(work.folder, DatasetMeta(**{**facts, **meta}))
        work.snapshot_id = "snapshot"
        work.commit()
    return Dataset.current(workspace)


def write_graph(workspace: Workspace) -> Batch:
    """A graph with one edge per relation and random text vectors; the last item of a type has no text."""
    dataset = Dataset.current(workspace)
    num_items = dataset.meta.num_items
    with workspace.begin(StageSpec.of("graph", CONFIG, [dataset.batch])) as work:
        relations = [Relation(a, CO_LISTENING, b) for a in num_items for b in num_items if a <= b]
        for snapshot in SNAPSHOTS:
            for relation in {way for r in relations for way in (r, r.reverse)}:
                save_csc(work.folder, snapshot, relation, _one_edge(num_items[relation.dst]))
            for relation in relations:
                _edge_frame().write_parquet(work.path(edge_table(snapshot, relation)))
        text = vectors_of(num_items, seed=1)
        for matrix in text.values():
            matrix[-1] = 0
        save_about(work.folder, num_items, relations, text, {"weight": "cosine"})
        work.metrics = {
            "edges": {name: dict.fromkeys((r.name for r in relations), 1) for name in ("fit", "serve")},
            "isolated_nodes": {name: {t: n - 1 for t, n in num_items.items()} for name in ("fit", "serve")},
            "text_coverage": dict.fromkeys(num_items, 0.9),
            "warnings": ["the relation book-song has no edges in the 'fit' graph"],
            "text_warning": None,
        }
        return work.commit()


def write_hgnn(workspace: Workspace) -> Batch:
    """Random embeddings and a training record of three epochs."""
    graph = workspace.current("graph")
    embeddings = vectors_of(Dataset.current(workspace).meta.num_items, seed=2)
    with workspace.begin(StageSpec.of("hgnn", CONFIG, [graph])) as work:
        older = {f"fit/{name}": -matrix for name, matrix in embeddings.items()}
        serve = {f"serve/{name}": matrix for name, matrix in embeddings.items()}
        save_vectors(work.path("embeddings.safetensors"), older | serve)
        epochs = [{"epoch": i, "loss": 1 / i, "val_mrr": 0.1 * i, "edges": {"book-book": 10}} for i in (1, 2, 3)]
        _write_json(work.path("training.json"), {"epochs": epochs, "best_epoch": 2})
        work.space_id = "hgnn-test"
        work.metrics = {"neighbours": "torch"}
        return work.commit()


def write_towers(workspace: Workspace, user_vectors: Any = None, item_vectors: Any = None) -> Batch:
    """Random tower vectors unless given."""
    meta = Dataset.current(workspace).meta
    with workspace.begin(StageSpec.of("towers", CONFIG, workspace.upstream("towers").values())) as work:
        users = vectors_of({"user": meta.num_users}, seed=3) if user_vectors is None else {"user": user_vectors}
        save_vectors(work.path("user_vectors.safetensors"), users)
        items = vectors_of({t: meta.num_items[t] for t in meta.targets}, seed=4)
        save_vectors(work.path("item_vectors.safetensors"), items if item_vectors is None else item_vectors)
        epochs = [{"epoch": i, "loss": 2 / i, "val_loss": 3 / i, "val_ndcg": 0.1} for i in (1, 2)]
        _write_json(work.path("training.json"), {"epochs": epochs, "best_epoch": 2})
        work.space_id = "towers-test"
        return work.commit()


def vectors_of(sizes: dict[str, int], seed: int, dim: int = 6) -> dict[str, Any]:
    rng = np.random.default_rng(seed)
    return {name: rng.standard_normal((n, dim)).astype(np.float32) for name, n in sizes.items()}


def random_rows(seed: int, num_users: int, num_items: dict[str, int], per_user: int = 5) -> list[Row]:
    """Every user streams and previews a few items of each type in train, and streams two in test; each fourth
    user knows no item of the first type."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(num_users):
        for number, (item_type, count) in enumerate(num_items.items()):
            items: Sequence[int] = rng.permutation(count)[: per_user + 2].tolist()
            cold = number == 0 and user % 4 == 0
            rows += [
                Row(user, item_type, item, "train", "stream", 3 + 40 * i) for i, item in enumerate(items[2:-1])
            ] * (not cold)
            rows += [Row(user, item_type, items[-1], "train", "preview", 2)] * (not cold)
            rows += [Row(user, item_type, item, "test", "stream", -1) for item in items[:2]]
    return rows


def _frame(rows: Iterable[Row], timed: bool) -> pl.DataFrame:
    found = [
        {
            **row._asdict(),
            "timestamp": CUTOFF - timedelta(days=row.days_before) if timed else None,
            "seconds": None,
        }
        for row in rows
    ]
    schema = {
        "user": pl.UInt32, "item_type": pl.String, "item": pl.UInt32, "signal": pl.String,
        "timestamp": pl.Datetime("ms", "UTC"), "seconds": pl.Float32, "split": pl.String,
    }  # fmt: skip
    return pl.DataFrame(found, schema={**schema, "days_before": pl.Float64}).select(*schema).sort("user", "timestamp")


def _items(num_items: dict[str, int]) -> pl.DataFrame:
    rows = [
        {"item_type": t, "item": i, "item_id": f"{t}:{i}", "title": f"{t} {i}", "genre": f"genre {i % 11}|second"}
        for t, n in num_items.items()
        for i in range(n)
    ]
    return pl.DataFrame(rows).with_columns(
        pl.col("item").cast(pl.UInt32), *(pl.lit(None, pl.String).alias(c) for c in ("description", "language"))
    )


def _one_edge(num_dst: int) -> Csc:
    indptr = np.ones(num_dst + 1, dtype=np.int64)
    indptr[0] = 0
    return Csc(indptr, np.zeros(1, np.int32), np.ones(1, np.float32))


def _edge_frame() -> pl.DataFrame:
    """The same edge as a row of a relation's table."""
    ends = {name: pl.Series([0], dtype=pl.UInt32) for name in ("src", "dst", "support")}
    weight = pl.Series([1], dtype=pl.Float32)
    return pl.DataFrame({**ends, "weight": weight, "at_src": [True], "at_dst": [True]})


def _write_json(path: Path, value: Any) -> None:
    path.write_text(json.dumps(value), encoding="utf-8")
