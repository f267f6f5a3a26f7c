"""Tiny dataset, graph and hgnn batches with two planted tastes, for the towers' tests."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors.numpy import save_file

from graphkit.artefacts import Batch, StageSpec, Workspace
from graphkit.config import Config, load_config
from graphkit.datasets.store import DatasetMeta, write_meta
from graphkit.vectors import save_vectors

ITEMS = {"audiobook": 24, "podcast": 30}
NUM_USERS = 60
#: In no interaction at all.
NOBODY = 0
DIM = 8
CUTOFF = datetime(2024, 6, 1, tzinfo=UTC)
LABEL_START = CUTOFF - timedelta(days=14)
QUICK = (
    "towers.hidden=[16]",
    "towers.out_dim=8",
    "towers.batch_size=32",
    "towers.epochs=3",
    "towers.category_dim=4",
    "towers.learning_rate=0.01",
    "towers.history_dropout=0.1",
    "towers.validation_share=0.2",
    "run.threads=1",
)


def quick_config(*overrides: str) -> Config:
    return load_config("default", [*QUICK, *overrides])


def make_world(root: Path, timed: bool = True, **meta: Any) -> Workspace:
    """A workspace with the three batches the towers are trained from."""
    workspace = Workspace(root)
    dataset = write_dataset(workspace, interactions(timed), timed, **meta)
    write_hgnn(workspace, write_graph(workspace, dataset))
    return workspace


def interactions(timed: bool = True) -> pl.DataFrame:
    """Users of even number like even items: of each type five train streams before the label period, two in
    it, one follow and two test streams. Every fifth user knows no audiobook before the label period."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(NOBODY + 1, NUM_USERS):
        for item_type, count in ITEMS.items():
            liked = rng.permutation(np.arange(user % 2, count, 2))[:10]
            days = [*rng.uniform(15, 80, 5), *rng.uniform(1, 13, 2), 40.0, -1.0, -2.0]
            new_to_type = item_type == "audiobook" and user % 5 == 0
            for place in range(5 if new_to_type else 0, 10):
                if new_to_type and place == 7:
                    continue
                rows.append(
                    {
                        "user": user,
                        "item_type": item_type,
                        "item": int(liked[place]),
                        "signal": "follow" if place == 7 else "stream",
                        "timestamp": CUTOFF - timedelta(days=days[place]) if timed else None,
                        "split": "test" if days[place] < 0 else "train",
                    }
                )
    return frame(rows)


def frame(rows: list[dict[str, Any]]) -> pl.DataFrame:
    """Interaction rows with the dataset's dtypes and order."""
    schema = {
        "user": pl.UInt32,
        "item_type": pl.String,
        "item": pl.UInt32,
        "signal": pl.String,
        "timestamp": pl.Datetime("ms", "UTC"),
        "split": pl.String,
    }
    table = pl.DataFrame(rows, schema=schema).with_columns(pl.lit(None, pl.Float32).alias("seconds"))
    return table.sort("user", "timestamp", "item_type", "item")


def write_dataset(
    workspace: Workspace, rows: pl.DataFrame, timed: bool = True, users: pl.DataFrame | None = None, **meta: Any
) -> Batch:
    """A dataset batch; its id does not depend on the rows, so that two worlds can be compared."""
    split = {"horizon_days": 14, "random_share": 0.2}
    settings = {"timed": timed, "split": split, "meta": {name: str(value) for name, value in meta.items()}}
    with workspace.begin(StageSpec("dataset", settings, 0)) as work:
        rows.write_parquet(work.path("interactions/part-00000.parquet"))
        _items().write_parquet(work.path("items.parquet"))
        (people() if users is None else users).write_parquet(work.path("users.parquet"))
        described = {
            "name": "towers-world",
            "types": tuple(ITEMS),
            "targets": tuple(ITEMS),
            "strong": ("stream",),
            "weak": ("follow",),
            "split": "time" if timed else "fixed",
            "cutoff": CUTOFF if timed else None,
            "label_start": LABEL_START if timed else None,
            "num_users": NUM_USERS,
            "num_items": ITEMS,
        }
        write_meta(work.folder, DatasetMeta.model_validate(described | meta))
        return work.commit()


def write_graph(workspace: Workspace, dataset: Batch, seed: int = 0) -> Batch:
    """A graph batch of text features alone."""
    rng = np.random.default_rng(seed)
    with workspace.begin(StageSpec("graph", {"seed": seed}, 0, (dataset,))) as work:
        text = {t: rng.normal(size=(n, 6)).astype(np.float32) for t, n in ITEMS.items()}
        save_file(text, work.path("features.safetensors"))
        work.path("graph.json").write_text(json.dumps({"num_nodes": ITEMS, "relations": []}))
        return work.commit()


def write_hgnn(workspace: Workspace, graph: Batch, dims: dict[str, int] | None = None) -> Batch:
    """Embeddings that tell even from odd items, a little different in ``serve``."""
    rng = np.random.default_rng(1)
    vectors = {}
    for snapshot in ("fit", "serve"):
        for item_type, count in ITEMS.items():
            matrix = 0.3 * rng.normal(size=(count, (dims or {}).get(item_type, DIM)))
            matrix[:, 0] += np.where(np.arange(count) % 2, 1, -1)
            vectors[f"{snapshot}/{item_type}"] = matrix / np.linalg.norm(matrix, axis=1, keepdims=True)
    with workspace.begin(StageSpec("hgnn", {"dims": dims}, 0, (graph,))) as work:
        save_vectors(work.path("embeddings.safetensors"), vectors)
        work.space_id = "hgnn-world"
        return work.commit()


def _items() -> pl.DataFrame:
    rows = [
        {
            "item_type": item_type,
            "item": item,
            "item_id": f"{item_type}-{item}",
            "title": f"Number {item}",
            "description": None,
            "language": "sv" if item % 3 else None,
            "genre": ["crime|history", "crime", None, "poetry"][item % 4],
            "creator": f"creator {item // 4}",
        }
        for item_type, count in ITEMS.items()
        for item in range(count)
    ]
    return pl.DataFrame(rows, schema_overrides={"item": pl.UInt32})


def people() -> pl.DataFrame:
    """The users table: every seventh has no age, and nothing is known of ``NOBODY``."""
    rows = [
        {
            "user": user,
            "user_id": f"u{user}",
            "country": None if user == NOBODY else ("SE", "DE")[user % 2],
            "age": None if user % 7 == 0 else 15 + user,
        }
        for user in range(NUM_USERS)
    ]
    return pl.DataFrame(rows, schema_overrides={"user": pl.UInt32, "age": pl.Int16})
