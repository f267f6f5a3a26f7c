"""A workspace with dataset, embeddings, untrained towers and weighed edges: enough for an export, in a second."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import combinations_with_replacement
from pathlib import Path

import numpy as np
import polars as pl

from graphkit import weigh_edges
from graphkit.artefacts import Batch, StageSpec, Workspace
from graphkit.config import load_config
from graphkit.datasets.store import Dataset, DatasetMeta, write_meta
from graphkit.graph.store import CO_LISTENING, SERVE, Csc, Relation, save_about, save_csc
from graphkit.histories import Pool
from graphkit.user_features import FeatureSpec
from graphkit.vectors import load_vectors, save_vectors

TYPES = {"audiobook": 40, "podcast": 30, "track": 20}
TARGETS = ("audiobook", "podcast")
NUM_USERS = 50
#: Never in any interaction: NOBODY has no country either, LOCAL has one.
NOBODY, LOCAL = 0, 1
DIM, EMBEDDING_DIM = 16, 8
CUTOFF = datetime(2024, 6, 1, tzinfo=UTC)


def make_workspace(root: Path, seed: int = 0, timed: bool = True, newcomers: Sequence[int] = ()) -> Workspace:
    """The five batches that ``export_bundle`` reads; ``newcomers`` are users who met no podcast."""
    workspace = Workspace(root)
    dataset = make_dataset(workspace, seed, timed, newcomers)
    make_graph(workspace, dataset, seed)
    hgnn = make_hgnn(workspace, seed)
    make_towers(workspace, dataset, hgnn, seed)
    weigh_edges(workspace, load_config("default"))
    return workspace


def exported_workspace(root: Path, newcomers: Sequence[int] = (), sets: Sequence[str] = ()) -> Workspace:
    """``make_workspace`` with its bundle."""
    from towers.export import export_bundle

    workspace = make_workspace(root, newcomers=newcomers)
    export_bundle(workspace, load_config("default", sets))
    return workspace


def make_graph(workspace: Workspace, dataset: Dataset, seed: int) -> Batch:
    """The ``serve`` graph: items that three or more train users share, weighed by how many; tracks are joined to
    podcasts alone."""
    rows = dataset.interactions("train", ["stream"]).collect()
    met = {t: np.zeros((NUM_USERS, n), np.float32) for t, n in TYPES.items()}
    for row in rows.iter_rows(named=True):
        met[row["item_type"]][row["user"], row["item"]] = 1
    joined = [Relation(a, CO_LISTENING, b) for a, b in combinations_with_replacement(TYPES, 2)]
    joined = [r for r in joined if {r.src, r.dst} not in ({"track"}, {"audiobook", "track"})]
    with workspace.begin(StageSpec("graph", {"seed": seed}, seed, (dataset.batch,))) as work:
        for relation in {way for r in joined for way in (r, r.reverse)}:
            shared = met[relation.dst].T @ met[relation.src]
            shared[shared < 3] = 0
            if relation.same_type:
                np.fill_diagonal(shared, 0)
            dst, src = np.nonzero(shared)
            indptr = np.searchsorted(dst, np.arange(len(shared) + 1))
            save_csc(work.folder, SERVE, relation, Csc(indptr, src.astype(np.int32), shared[dst, src]))
        save_about(work.folder, TYPES, joined, {}, {})
        return work.commit()


def make_hgnn(workspace: Workspace, seed: int) -> Batch:
    """Random unit embeddings of space ``hgnn-<seed>``."""
    rng = np.random.default_rng(seed)
    with workspace.begin(StageSpec("hgnn", {"seed": seed}, seed)) as work:
        save_vectors(
            work.path("embeddings.safetensors"),
            {f"serve/{t}": _unit(rng, n, EMBEDDING_DIM) for t, n in TYPES.items()},
        )
        work.space_id = f"hgnn-{seed}"
        return work.commit()


def make_towers(workspace: Workspace, dataset: Dataset, hgnn: Batch, seed: int) -> Batch:
    """Random item vectors and an untrained user tower, in the towers' own format."""
    from towers.replay import write_replay
    from towers.two_tower import save_weights, user_tower
    from towers.user_spec import user_features

    config = load_config("default", ["towers.hidden=[32]", f"towers.out_dim={DIM}"])
    pools = tuple(Pool(t, group) for t in TYPES for group in ("strong", "weak"))
    countries = {"country": ("DE", "SE")} if dataset.meta.cutoff else {}
    spec = FeatureSpec(pools=pools, embedding_dim=EMBEDDING_DIM, categorical=countries)
    embeddings = {t: load_vectors(hgnn.path("embeddings.safetensors"))[f"serve/{t}"] for t in TYPES}
    features = user_features(dataset, spec, embeddings, dataset.meta.cutoff, config.towers)
    rng = np.random.default_rng(seed + 1)
    tower = user_tower(spec, config.towers)
    # Random biases, too: they keep the vector of a user without any feature away from zero.
    weights = {f"user/{w.path}": rng.normal(size=w.shape).astype(np.float32) for w in tower.weights}
    with workspace.begin(StageSpec.of("towers", config, (dataset.batch, hgnn))) as work:
        save_weights(work.path("towers.weights.safetensors"), weights)
        for weight in tower.weights:
            weight.assign(weights[f"user/{weight.path}"])
        users = np.asarray(tower(features.inputs(np.arange(NUM_USERS))._asdict()))
        work.path("features.json").write_text(spec.model_dump_json())
        items = {t: _unit(rng, TYPES[t], DIM) for t in TARGETS}
        save_vectors(work.path("item_vectors.safetensors"), items)
        write_replay(work.path("replay.safetensors"), tower, features, items, seed)
        save_vectors(work.path("user_vectors.safetensors"), {"user": users})
        work.space_id = f"towers-{seed}"
        work.metrics["hgnn_space_id"] = hgnn.manifest.space_id
        return work.commit()


def make_dataset(workspace: Workspace, seed: int, timed: bool = True, newcomers: Sequence[int] = ()) -> Dataset:
    """Users, three types and their interactions."""
    split = {"horizon_days": 14, "random_share": 0.2}
    with workspace.begin(StageSpec("dataset", {"timed": timed, "seed": seed, "split": split}, seed)) as work:
        rows = _interactions(seed, timed)
        rows = rows.filter(~pl.col("user").is_in(list(newcomers)) | (pl.col("item_type") != "podcast"))
        rows.write_parquet(work.path("interactions/part-00000.parquet"))
        _items().write_parquet(work.path("items.parquet"))
        users = range(NUM_USERS)
        country = [None if user == NOBODY else ("SE" if user % 2 else "DE") for user in users]
        pl.DataFrame(
            {"user": users, "user_id": [f"u{user}" for user in users], "country": country},
            schema_overrides={"user": pl.UInt32},
        ).write_parquet(work.path("users.parquet"))
        write_meta(work.folder, _meta(timed))
        return Dataset.open(work.commit())


def _meta(timed: bool) -> DatasetMeta:
    return DatasetMeta(
        name="tiny",
        types=tuple(TYPES),
        targets=TARGETS,
        strong=("stream",),
        weak=("follow",),
        split="time" if timed else "fixed",
        cutoff=CUTOFF if timed else None,
        label_start=CUTOFF - timedelta(days=14) if timed else None,
        num_users=NUM_USERS,
        num_items=TYPES,
    )


def _items() -> pl.DataFrame:
    rows = [
        {"item_type": t, "item": i, "item_id": f"{t[0]}{i:02}", "title": f"The {t} number {i}", "genre": "crime"}
        for t, n in TYPES.items()
        for i in range(n)
    ]
    # One id that two types share.
    rows[TYPES["audiobook"] + 1]["item_id"] = rows[0]["item_id"]
    texts = [pl.lit(None, pl.String).alias(name) for name in ("description", "creator")]
    # Every fourth item is in no language that is known.
    texts.append(pl.Series("language", ["en", "sv", "de", None] * (len(rows) // 4 + 1))[: len(rows)])
    return pl.DataFrame(rows).with_columns(pl.col("item").cast(pl.UInt32), *texts)


def _interactions(seed: int, timed: bool) -> pl.DataFrame:
    """Six streams and two follows a user and type over 200 days before the cut-off, and test rows after it."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(LOCAL + 1, NUM_USERS):
        for item_type, num_items in TYPES.items():
            for place, item in enumerate(rng.choice(num_items, 9, replace=False)):
                test = place == 8
                days = -1.0 if test else float(rng.uniform(0.01, 200))
                rows.append(
                    {
                        "user": user,
                        "item_type": item_type,
                        "item": int(item),
                        "signal": "follow" if place in (6, 7) else "stream",
                        "timestamp": CUTOFF - timedelta(days=days) if timed else None,
                        "split": "test" if test else "train",
                    }
                )
    frame = pl.DataFrame(rows, schema_overrides={"timestamp": pl.Datetime("ms", "UTC")})
    frame = frame.with_columns(pl.col("user", "item").cast(pl.UInt32), pl.lit(None, pl.Float32).alias("seconds"))
    return frame.sort("user", "timestamp", "item_type", "item")


def _unit(rng: np.random.Generator, rows: int, dim: int) -> np.ndarray:
    vectors = rng.normal(size=(rows, dim)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
