"""A tiny workspace for the downstream laboratory, with a planted taste that nothing in the past gives away.

A user's taste decides what is met in the label and the test period and is the user's country; before, users meet
anything. So vectors that hold the taste must win, random ones must not, and neither can the mean of the history.
"""

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
from graphkit.stages import ENCODERS
from graphkit.user_vectors import FOLDS, UserVectors, save_user_vectors
from graphkit.vectors import save_vectors

ITEMS = {"audiobook": 40, "podcast": 60}
NUM_USERS = 240
TASTES = 4
CUTOFF = datetime(2024, 6, 1, tzinfo=UTC)
LABEL_START = CUTOFF - timedelta(days=30)
GENRES = ("crime|history", "poetry", None, "crime")
COUNTRIES = ("SE", "DE", "FR", "IT")
QUICK = (
    "downstream.hidden=[16,8]",
    "downstream.learning_rate=0.01",
    "downstream.batch_size=128",
    "downstream.epochs=8",
    "downstream.seeds=1",
    "downstream.components=4",
    "downstream.sequence_items=8",
    "downstream.sequence_dim=8",
    "downstream.sequence_layers=1",
    "downstream.lightgcn_epochs=2",
    "downstream.hybrid_epochs=2",
    "downstream.bootstrap=100",
    "run.threads=1",
)


def quick_config(*overrides: str) -> Config:
    return load_config("default", [*QUICK, *overrides])


def make_world(root: Path, timed: bool = True, rows: pl.DataFrame | None = None, **columns: Any) -> Workspace:
    """A workspace with dataset, graph and hgnn; ``columns`` replace or join those of the users."""
    workspace = Workspace(root)
    dataset = write_dataset(workspace, interactions(timed) if rows is None else rows, timed, columns)
    graph = _write_graph(workspace, dataset)
    _write_hgnn(workspace, graph)
    return workspace


def taste(numbers: np.ndarray) -> np.ndarray:
    """The taste of users, and of items, by their numbers."""
    return numbers % TASTES


def creator(item_type: str, item: int) -> str:
    """Two items each, of one taste."""
    return f"{item_type} {item // (2 * TASTES)}-{item % TASTES}"


def interactions(timed: bool = True, seed: int = 0) -> pl.DataFrame:
    """Of each type: six random items long before, two of the taste in the label period's first week, two in the
    test period's, one of each later than the first week, and a follow in every period."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(NUM_USERS):
        for item_type, count in ITEMS.items():
            mine = rng.permutation(np.arange(user % TASTES, count, TASTES))
            before = rng.permutation(count)[:6]
            days = [*rng.uniform(31, 100, 6), *rng.uniform(23.5, 29.5, 2), 10.0, *rng.uniform(-6.5, -0.5, 2), -10.0]
            for item, day in zip([*before, *mine[:6]], days, strict=True):
                rows.append((user, item_type, int(item), "stream", day))
            rows.append((user, item_type, int(rng.integers(count)), "follow", 50.0))
            rows.append((user, item_type, int(mine[6]), "follow", 20.0))
            rows.append((user, item_type, int(mine[7]), "follow", -3.0))
    frame = pl.DataFrame(rows, schema=["user", "item_type", "item", "signal", "days"], orient="row")
    time = pl.lit(CUTOFF) - pl.duration(milliseconds=(pl.col("days") * 86_400_000).cast(pl.Int64))
    return frame.select(
        pl.col("user").cast(pl.UInt32),
        "item_type",
        pl.col("item").cast(pl.UInt32),
        "signal",
        (time if timed else pl.lit(None)).cast(pl.Datetime("ms", "UTC")).alias("timestamp"),
        pl.lit(None, pl.Float32).alias("seconds"),
        pl.when(pl.col("days") > 0).then(pl.lit("train")).otherwise(pl.lit("test")).alias("split"),
    ).sort("user", "timestamp", "item_type", "item")


def users_table(**columns: Any) -> pl.DataFrame:
    numbers = np.arange(NUM_USERS)
    table: dict[str, Any] = {
        "user": pl.Series(numbers, dtype=pl.UInt32),
        "user_id": [f"u{user}" for user in numbers],
        "age": pl.Series([None] * NUM_USERS, dtype=pl.Int16),
        "country": [COUNTRIES[t] for t in taste(numbers)],
        "registered_at": pl.Series([None] * NUM_USERS, dtype=pl.Datetime("ms", "UTC")),
        "onboarding_items": pl.Series([None] * NUM_USERS, dtype=pl.List(pl.String)),
    }
    return pl.DataFrame(table | columns)


def write_dataset(
    workspace: Workspace, rows: pl.DataFrame, timed: bool = True, columns: dict[str, Any] | None = None
) -> Batch:
    with workspace.begin(StageSpec("dataset", {"timed": timed}, 0)) as work:
        rows.write_parquet(work.path("interactions/part-00000.parquet"))
        items = [
            {
                "item_type": t,
                "item": i,
                "item_id": f"{t}-{i}",
                "title": f"{t} {i}",
                "description": None,
                "language": "sv",
                "genre": GENRES[i % TASTES],
                "creator": creator(t, i),
            }
            for t, count in ITEMS.items()
            for i in range(count)
        ]
        pl.DataFrame(items, schema_overrides={"item": pl.UInt32}).write_parquet(work.path("items.parquet"))
        users_table(**(columns or {})).write_parquet(work.path("users.parquet"))
        meta = DatasetMeta(
            name="downstream-world",
            types=tuple(ITEMS),
            targets=tuple(ITEMS),
            strong=("stream",),
            weak=("follow",),
            split="time" if timed else "fixed",
            cutoff=CUTOFF if timed else None,
            label_start=LABEL_START if timed else None,
            num_users=NUM_USERS,
            num_items=ITEMS,
        )
        write_meta(work.folder, meta)
        return work.commit()


def _write_graph(workspace: Workspace, dataset: Batch) -> Batch:
    with workspace.begin(StageSpec("graph", {}, 0, (dataset,))) as work:
        rng = np.random.default_rng(0)
        save_file(
            {t: rng.normal(size=(n, 6)).astype(np.float32) for t, n in ITEMS.items()},
            work.path("features.safetensors"),
        )
        work.path("graph.json").write_text(json.dumps({"num_nodes": ITEMS, "relations": []}))
        return work.commit()


def _write_hgnn(workspace: Workspace, graph: Batch) -> Batch:
    """Item vectors that hold the item's taste, a little different at each moment."""
    rng = np.random.default_rng(1)
    vectors = {}
    for moment in ("fit", "serve"):
        for item_type, count in ITEMS.items():
            matrix = 0.1 * rng.normal(size=(count, 8))
            matrix[np.arange(count), taste(np.arange(count))] += 1
            vectors[f"{moment}/{item_type}"] = matrix.astype(np.float32)
    with workspace.begin(StageSpec("hgnn", {}, 0, (graph,))) as work:
        save_vectors(work.path("embeddings.safetensors"), vectors)
        work.space_id = "hgnn-world"
        return work.commit()


def write_encoder(
    workspace: Workspace, name: str, vectors: np.ndarray, timed: bool = True, sign_up: np.ndarray | None = None
) -> Batch:
    """A batch of the encoder ``name`` whose users have ``vectors`` [NUM_USERS, dim] at every moment, but for
    ``sign_up`` as new users."""
    matrix = vectors.astype(np.float32)
    upstream = [workspace.current(stage) for stage in ENCODERS[name].upstream]
    with workspace.begin(StageSpec(name, {"vectors": matrix.sum().item()}, 0, tuple(upstream))) as work:
        fits = (matrix,) * (1 if timed else FOLDS)
        save_user_vectors(work.path("user_vectors.safetensors"), UserVectors(name, fits, matrix, sign_up))
        return work.commit()


def true_tastes() -> np.ndarray:
    """What a perfect encoder would know: float64 [NUM_USERS, TASTES], a little noise beside."""
    rng = np.random.default_rng(2)
    return np.eye(TASTES)[taste(np.arange(NUM_USERS))] + 0.05 * rng.normal(size=(NUM_USERS, TASTES))


def noise(width: int = TASTES) -> np.ndarray:
    """What knows nothing."""
    return np.random.default_rng(3).normal(size=(NUM_USERS, width))
