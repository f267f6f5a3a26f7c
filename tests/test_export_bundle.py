"""The export: what it refuses, what it measures, and the same bytes every time."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from tiny_towers import (
    CUTOFF,
    DIM,
    LOCAL,
    NUM_USERS,
    TYPES,
    exported_workspace,
    make_dataset,
    make_hgnn,
    make_workspace,
)

from graphkit.artefacts import Batch, Workspace
from graphkit.config import load_config
from graphkit.datasets.store import Dataset
from graphkit.errors import ArtefactError, GraphkitError
from graphkit.histories import Pool, load_histories
from graphkit.user_features import FeatureSpec, UserFeatures
from graphkit.vectors import load_vectors, save_vectors

CONFIG = load_config("default")


def features_of(bundle: Batch) -> UserFeatures:
    from safetensors.numpy import load_file

    return UserFeatures(
        FeatureSpec.model_validate_json(bundle.path("features.json").read_text()),
        load_histories(bundle.path("histories.safetensors")),
        load_vectors(bundle.path("embeddings.safetensors")),
        load_file(bundle.path("user_categorical.safetensors"))["categorical"],
    )


def user_vectors(workspace: Workspace) -> np.ndarray:
    return load_vectors(workspace.current("towers").path("user_vectors.safetensors"))["user"]


@pytest.fixture(scope="module")
def tiny_workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return exported_workspace(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def bundle(tiny_workspace: Workspace) -> Batch:
    return tiny_workspace.current("bundle")


def test_export_writes_the_described_files(bundle: Batch) -> None:
    assert set(bundle.manifest.files) == {
        "README.md",
        "adjacency.safetensors",
        "bundle.json",
        "edges.safetensors",
        "embeddings.safetensors",
        "features.json",
        "histories.safetensors",
        "index/audiobook.ann",
        "index/podcast.ann",
        "item_vectors.safetensors",
        "items.parquet",
        "popularity.safetensors",
        "replay.safetensors",
        "seen.safetensors",
        "user_categorical.safetensors",
        "user_tower.onnx",
        "user_tower/saved_model.pb",
        "users.parquet",
    }
    about = json.loads(bundle.path("bundle.json").read_text())
    assert about["targets"] == ["audiobook", "podcast"]
    assert about["indexes"]["podcast"] == {
        "kind": "annoy", "file": "index/podcast.ann", "dim": DIM, "num_items": TYPES["podcast"], "longest": None,
        "effort": TYPES["podcast"], "recall": 1.0,
    }  # fmt: skip
    assert (about["space_id"], about["hgnn_space_id"]) == ("towers-0", "hgnn-0")
    assert bundle.manifest.space_id == "towers-0"
    assert bundle.manifest.metrics["index_recall_at_100"] == {"audiobook": 1.0, "podcast": 1.0}
    assert bundle.manifest.metrics["index_effort"] == {name: TYPES[name] for name in about["targets"]}
    assert bundle.manifest.metrics["user_vector_max_difference"] <= 1e-4


def test_export_is_skipped_when_up_to_date(tiny_workspace: Workspace, bundle: Batch) -> None:
    from towers.export import export_bundle

    assert export_bundle(tiny_workspace, CONFIG).manifest.created_at == bundle.manifest.created_at


def test_two_exports_have_the_same_bytes(bundle: Batch, tmp_path: Path) -> None:
    from towers.export import export_bundle

    again = export_bundle(make_workspace(tmp_path), CONFIG)
    assert again.manifest.files == bundle.manifest.files
    assert again.content_hash == bundle.content_hash


@pytest.mark.parametrize("size", [1, 7, NUM_USERS])
def test_onnx_and_saved_model_give_the_trained_vectors(tiny_workspace: Workspace, bundle: Batch, size: int) -> None:
    import onnxruntime
    import tensorflow as tf

    users = np.arange(size)
    inputs = features_of(bundle).inputs(users)
    expected = user_vectors(tiny_workspace)[users]
    session = onnxruntime.InferenceSession(str(bundle.path("user_tower.onnx")))
    given = {"pooled": inputs.pooled, "categorical": inputs.categorical}
    (by_onnx,) = session.run(["user_vector"], given)
    np.testing.assert_allclose(by_onnx, expected, atol=1e-5)
    saved = tf.saved_model.load(str(bundle.path("user_tower"))).signatures["serving_default"]
    by_tensorflow = saved(**{name: tf.constant(array) for name, array in given.items()})
    np.testing.assert_allclose(by_tensorflow["user_vector"].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize(("kind", "suffix"), [("voyager", "voy"), ("faiss", "faiss"), ("exact", None)])
def test_another_kind_of_index_ranks_the_same(bundle: Batch, tmp_path: Path, kind: str, suffix: str | None) -> None:
    from graphkit import Bundle
    from towers.export import export_bundle

    other = Bundle.open(export_bundle(make_workspace(tmp_path), load_config("default", [f"export.index={kind}"])))
    files = [name for name in other.batch.manifest.files if name.startswith("index/")]
    assert files == ([f"index/{name}.{suffix}" for name in other.meta.targets] if suffix else [])
    assert other.meta.indexes["podcast"].kind == kind
    for user in ("u2", f"u{LOCAL}"):
        assert other.recommend(user, "podcast") == Bundle.open(bundle).recommend(user, "podcast")


def test_histories_end_at_the_cutoff_and_seen_holds_all_of_train(tiny_workspace: Workspace, bundle: Batch) -> None:
    rows = Dataset.open(tiny_workspace.current("dataset")).interactions().collect()
    streams = rows.filter((pl.col("item_type") == "podcast") & (pl.col("signal") == "stream") & (pl.col("user") == 9))
    train = streams.filter(pl.col("timestamp") < CUTOFF)
    recent = train.filter(pl.col("timestamp") >= CUTOFF - pl.duration(days=90))
    pool = Pool("podcast", "strong")
    assert sorted(load_histories(bundle.path("histories.safetensors"))[pool].of(9)) == sorted(recent["item"])
    assert sorted(load_histories(bundle.path("seen.safetensors"))[pool].of(9)) == sorted(train["item"])
    assert 0 < recent.height < train.height < streams.height


def test_popularity_counts_recent_train_users(tiny_workspace: Workspace, bundle: Batch) -> None:
    counts = load_vectors(bundle.path("popularity.safetensors"))
    assert set(counts) == {"audiobook", "podcast"}
    rows = Dataset.open(tiny_workspace.current("dataset")).interactions("train", ["stream"]).collect()
    recent = rows.filter((pl.col("timestamp") >= CUTOFF - pl.duration(days=90)) & (pl.col("item_type") == "podcast"))
    assert counts["podcast"].tolist() == [recent.filter(pl.col("item") == i).height for i in range(TYPES["podcast"])]


def test_embeddings_of_another_training_are_refused_with_both_ids(tmp_path: Path) -> None:
    from towers.export import export_bundle

    workspace = make_workspace(tmp_path)
    first = workspace.current("hgnn")
    second = make_hgnn(workspace, seed=1)
    with pytest.raises(ArtefactError) as refused:
        export_bundle(workspace, CONFIG)
    assert first.id in str(refused.value)
    assert second.id in str(refused.value)
    assert not workspace.has("bundle")


def test_towers_of_another_dataset_are_refused_with_both_ids(tmp_path: Path) -> None:
    from towers.export import export_bundle

    workspace = make_workspace(tmp_path)
    first = workspace.current("dataset")
    second = make_dataset(workspace, seed=1).batch
    with pytest.raises(ArtefactError) as refused:
        export_bundle(workspace, CONFIG)
    assert first.id in str(refused.value)
    assert second.id in str(refused.value)


def test_towers_that_name_another_space_are_refused_with_both_ids(tmp_path: Path) -> None:
    from towers.export import read_sources

    upstream = make_workspace(tmp_path).upstream("bundle")
    upstream["hgnn"].manifest.space_id = "hgnn-other"
    with pytest.raises(ArtefactError, match=r"(?s)hgnn-0.*hgnn-other"):
        read_sources(upstream)


def test_vectors_of_another_catalogue_are_refused(tmp_path: Path) -> None:
    from towers.export import read_sources

    upstream = make_workspace(tmp_path).upstream("bundle")
    save_vectors(upstream["towers"].path("item_vectors.safetensors"), {"podcast": np.ones((31, 16))})
    with pytest.raises(ArtefactError, match=r"(?s)vectors of podcast.*30 rows.*31 rows"):
        read_sources(upstream)


def test_nothing_is_committed_when_the_exported_tower_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from towers.export import export_bundle
    from towers.two_tower import load_user_tower

    def load_changed_tower(batch: Batch) -> object:
        tower = load_user_tower(batch)
        tower.set_weights([weights * 1.1 for weights in tower.get_weights()])
        return tower

    monkeypatch.setattr("towers.two_tower.load_user_tower", load_changed_tower)
    workspace = make_workspace(tmp_path)
    with pytest.raises(GraphkitError, match=r"(?s)does not give what training gave: user tower, ONNX.*as is"):
        export_bundle(workspace, CONFIG)
    assert not workspace.has("bundle")


def test_towers_without_golden_users_are_refused(tmp_path: Path) -> None:
    from towers.export import read_sources

    upstream = make_workspace(tmp_path).upstream("bundle")
    upstream["towers"].path("replay.safetensors").unlink()
    with pytest.raises(ArtefactError, match=r"(?s)golden users.*replay.*graphkit train-towers"):
        read_sources(upstream)


def test_a_dataset_without_timestamps_exports_all_of_train(tmp_path: Path) -> None:
    from towers.export import export_bundle

    bundle = export_bundle(make_workspace(tmp_path, timed=False), CONFIG)
    histories = load_histories(bundle.path("histories.safetensors"))
    assert len(histories[Pool("audiobook", "strong")].of(5)) == 6
    assert bundle.manifest.data_window == {"end": None}


def test_a_tower_without_categorical_features_exports_and_serves(tmp_path: Path) -> None:
    from graphkit import Bundle
    from towers.export import export_bundle

    workspace = make_workspace(tmp_path, timed=False)
    bundle = Bundle.open(export_bundle(workspace, CONFIG))
    assert bundle.user_features.spec.categorical == {}
    vectors = bundle.user_vectors(bundle.user_features.inputs(np.arange(9)))
    np.testing.assert_allclose(vectors, user_vectors(workspace)[:9], atol=1e-5)
    assert bundle.recommend("u5", "podcast").source == "towers and edges"
    assert bundle.recommend(f"u{LOCAL}", "podcast").source == "popularity"
