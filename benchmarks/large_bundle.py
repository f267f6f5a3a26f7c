"""A workspace with a bundle of a quarter of a million items, without training for it.

python benchmarks/large_bundle.py WORKSPACE --texts-of OTHER --items 250000 --users 20000 --set export.index=voyager

Then `python benchmarks/serving.py WORKSPACE`. Item embeddings are text vectors of the workspace OTHER, resampled
(``resampled.py``); users listen to what lies near a few texts, imported as logs; the user tower has the default's
layers and random weights, and an item's vector is what it makes of a user who met that item alone, so that users lie
near their items. Edges are learned, and the bundle is exported, by the commands' own functions.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from resampled import resampled

from graphkit import Workspace, import_dataset, load_config, weigh_edges
from graphkit.artefacts import Batch, StageSpec
from graphkit.config import Config
from graphkit.datasets.store import Dataset
from graphkit.graph.store import save_about
from graphkit.histories import History, Pool
from graphkit.user_features import FeatureSpec
from graphkit.vectors import save_vectors
from towers import export_bundle
from towers.user_spec import user_features

TYPE = "podcast"
CARD = """
name = "large"
types = ["podcast"]
targets = ["podcast"]
strong = ["stream"]
[interactions]
files = "plays.parquet"
columns = { user_id = "user", item_id = "item", timestamp = "time" }
constants = { signal = "stream", item_type = "podcast" }
[items]
files = "items.parquet"
columns = { item_id = "item", title = "title", genre = "genre", language = "language" }
constants = { item_type = "podcast" }
"""
#: Users listen to this many items each, near this many texts.
ITEMS_A_USER, TEXTS_A_USER = 30, 3
DAYS = 120


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--texts-of", type=Path, required=True)
    parser.add_argument("--items", type=int, default=250_000)
    parser.add_argument("--users", type=int, default=20_000)
    parser.add_argument("--set", action="append", default=[], dest="overrides")
    options = parser.parse_args()
    quick = ["edges.l2=[20]", "edges.max_validation_users=100", *options.overrides]
    config, workspace = load_config("default", quick), Workspace(options.workspace)
    vectors, base = resampled(options.texts_of, options.items)
    with tempfile.TemporaryDirectory() as folder:
        write_logs(Path(folder), base, options.users)
        import_dataset(workspace, str(Path(folder) / "card.toml"), Path(folder), config)
    dataset = Dataset.open(workspace.current("dataset"))
    rows = dataset.items(TYPE)["item_id"].cast(pl.Int64).to_numpy()
    write_graph(workspace, dataset)
    hgnn = write_embeddings(workspace, vectors[rows])
    write_towers(workspace, config, dataset, hgnn, vectors[rows])
    weigh_edges(workspace, config)
    print(export_bundle(workspace, config).manifest.metrics)


def write_logs(folder: Path, base: np.ndarray, num_users: int) -> None:
    """Plays and catalogue; of the items near a text, the first ones are the popular ones."""
    rng, near = np.random.default_rng(0), np.argsort(base, kind="stable")
    odds = 1 / (50.0 + np.arange(int(base.max()) + 1))
    texts = rng.choice(len(odds), size=(num_users, TEXTS_A_USER), p=odds / odds.sum())
    chosen = np.repeat(texts, ITEMS_A_USER // TEXTS_A_USER, axis=1).ravel()
    start, size = np.searchsorted(base[near], chosen), np.bincount(base, minlength=int(base.max()) + 2)[chosen]
    item = near[np.minimum(start + np.floor(size * rng.random(len(chosen)) ** 2).astype(int), len(base) - 1)]
    user = np.repeat(np.arange(num_users), chosen.size // num_users)
    time = 1_700_000_000_000 + rng.integers(0, DAYS * 86_400_000, len(user))
    plays = pl.DataFrame({"user": user, "item": item, "time": time}).cast({"user": pl.String, "item": pl.String})
    plays.write_parquet(folder / "plays.parquet")
    number = pl.Series("item", np.arange(len(base))).cast(pl.String)
    language = pl.Series(["en", "de", "sv", "es"]).gather(rng.integers(0, 4, len(base)))
    items = pl.DataFrame({"item": number, "title": "Show " + number, "genre": "genre", "language": language})
    items.write_parquet(folder / "items.parquet")
    (folder / "card.toml").write_text(CARD.replace('"time" }', '"time" }\ntimestamp_unit = "ms"'), encoding="utf-8")


def write_graph(workspace: Workspace, dataset: Dataset) -> Batch:
    """Without edges: reasons over two edges are not measured."""
    with workspace.begin(StageSpec("graph", {}, 0, (dataset.batch,))) as work:
        save_about(work.folder, dict(dataset.meta.num_items), [], {}, {})
        return work.commit()


def write_embeddings(workspace: Workspace, vectors: np.ndarray) -> Batch:
    with workspace.begin(StageSpec("hgnn", {"items": len(vectors)}, 0)) as work:
        save_vectors(work.path("embeddings.safetensors"), {f"{s}/{TYPE}": vectors for s in ("fit", "serve")})
        work.space_id = "resampled"
        return work.commit()


def write_towers(workspace: Workspace, config: Config, dataset: Dataset, hgnn: Batch, vectors: np.ndarray) -> Batch:
    from towers.infer import embed_users
    from towers.replay import write_replay
    from towers.two_tower import save_weights, user_tower

    pool = Pool(TYPE, "strong")
    spec = FeatureSpec(pools=(pool,), embedding_dim=vectors.shape[1])
    features = user_features(dataset, spec, {TYPE: vectors}, dataset.meta.cutoff, config.towers)
    tower, rng = user_tower(spec, config.towers), np.random.default_rng(2)
    weights = {}
    for weight in tower.weights:
        scale = np.sqrt(2 / weight.shape[0]) if len(weight.shape) == 2 else 0.0
        weights[f"user/{weight.path}"] = (scale * rng.normal(size=weight.shape)).astype(np.float32)
        weight.assign(weights[f"user/{weight.path}"])
    each = np.arange(len(vectors))
    one_item = History(np.arange(len(each) + 1), each.astype(np.int32))
    nothing = np.zeros((len(each), 0), np.int32)
    alone = replace(features, histories={pool: one_item}, categorical=nothing).inputs(each)
    with workspace.begin(StageSpec.of("towers", config, (dataset.batch, hgnn))) as work:
        save_weights(work.path("towers.weights.safetensors"), weights)
        work.path("features.json").write_text(spec.model_dump_json())
        users = features.inputs(np.arange(dataset.meta.num_users))
        items = {TYPE: embed_users(tower, alone)}
        save_vectors(work.path("user_vectors.safetensors"), {"user": embed_users(tower, users)})
        save_vectors(work.path("item_vectors.safetensors"), items)
        write_replay(work.path("replay.safetensors"), tower, features, items, 0)
        work.space_id = "random"
        work.metrics["hgnn_space_id"] = "resampled"
        return work.commit()


if __name__ == "__main__":
    main()
