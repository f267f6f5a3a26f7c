"""Towers that take some of the inputs only: what reaches them, and that they are exported and served exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from served import table_model
from towers_world import (
    DIM,
    ITEMS,
    NOBODY,
    NUM_USERS,
    interactions,
    make_world,
    quick_config,
    write_dataset,
    write_graph,
    write_hgnn,
)

from graphkit import Bundle, weigh_edges
from graphkit.artefacts import Batch, StageSpec, Workspace
from graphkit.audit.examples import CHECKS
from graphkit.audit.finding import finding
from graphkit.audit.run import AuditedRun
from graphkit.config import load_config
from graphkit.config.towers import TowersSection
from graphkit.datasets.store import Dataset
from graphkit.errors import ConfigError, InputError
from graphkit.user_features import FeatureSpec
from graphkit.vectors import load_vectors, save_vectors
from towers.export import export_bundle
from towers.fit import train_towers
from towers.item_features import item_features
from towers.user_spec import feature_spec

TWO_TOWERS = ("towers.pooled=text", "towers.item_inputs=[text,language,genre,creator]")
VARIANTS = {
    "2T": TWO_TOWERS,
    "demographics alone": ("towers.user_inputs=[demographics]",),
    "no demographics": ("towers.user_inputs=[history,weak,counts]",),
    "weak alone": ("towers.user_inputs=[weak]", "towers.pooled=text", "towers.item_inputs=[hgnn]"),
    "no counts": ("towers.user_inputs=[demographics,history,weak]", "towers.item_inputs=[genre]"),
    "categories alone": ("towers.item_inputs=[creator]",),
    "popularity": ("towers.item_inputs=[hgnn]", "towers.popularity_days=[7,400]"),
}


def towers_of(root: Path, *sets: str) -> tuple[Workspace, Batch]:
    workspace = make_world(root)
    return workspace, train_towers(workspace, quick_config("towers.epochs=1", *sets))


@pytest.fixture(scope="module", params=VARIANTS)
def variant(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace, _ = towers_of(tmp_path_factory.mktemp("variant"), *VARIANTS[request.param])
    weigh_edges(workspace, quick_config())
    export_bundle(workspace, quick_config())  # as trained, whatever the configuration says by now
    return workspace


def test_a_variant_is_served_as_it_was_trained(variant: Workspace) -> None:
    towers, bundle = variant.current("towers"), Bundle.open(variant.current("bundle"))
    users = load_vectors(towers.path("user_vectors.safetensors"))["user"]
    vectors = bundle.user_vectors(bundle.user_features.inputs(np.arange(NUM_USERS)))
    np.testing.assert_allclose(vectors, users, atol=1e-5)
    served = bundle.recommend("u7", "podcast", k=5, exclude_seen=False)
    scores = table_model(variant).scores(np.array([7]), "podcast")[0]
    scores += served.rows[0]["score"] - scores.max()  # the table centres them
    assert [row["score"] for row in served.rows] == pytest.approx(np.sort(scores)[:-6:-1], abs=1e-3)
    for row in served.rows:  # items of equal categories alone are tied
        assert scores[int(row["item_id"].removeprefix("podcast-"))] == pytest.approx(row["score"], abs=1e-3)
    assert served.source == "towers and edges"
    assert bundle.recommend(f"u{NOBODY}", "podcast").source == "popularity"
    assert variant.current("bundle").manifest.metrics["user_vector_max_difference"] <= 1e-5


def test_a_variant_s_saved_model_gives_the_same_vectors(variant: Workspace) -> None:
    import tensorflow as tf

    bundle = Bundle.open(variant.current("bundle"))
    inputs = bundle.user_features.inputs(np.arange(NUM_USERS))
    call = tf.saved_model.load(str(bundle.folder / "user_tower")).signatures["serving_default"]
    given = {name: tf.constant(array) for name, array in inputs._asdict().items() if array.shape[1]}
    found = call(**given)["user_vector"]
    np.testing.assert_allclose(found.numpy(), bundle.user_vectors(inputs), atol=1e-5)


def test_a_variant_s_bundle_holds_what_it_pools_and_nothing_else(variant: Workspace) -> None:
    towers, bundle = variant.current("towers"), Bundle.open(variant.current("bundle"))
    settings = TowersSection.model_validate(towers.manifest.settings["towers"])
    spec = FeatureSpec.model_validate_json(towers.path("features.json").read_text())
    assert set(bundle.user_features.histories) == set(spec.pools)
    text, embeddings = (
        load_vectors(variant.current(stage).path(file))
        for stage, file in (("graph", "features.safetensors"), ("hgnn", "embeddings.safetensors"))
    )
    for item_type in ITEMS:
        pooled = text[item_type] if settings.pooled == "text" else embeddings[f"serve/{item_type}"]
        np.testing.assert_array_equal(bundle.user_features.embeddings[item_type], pooled)
        np.testing.assert_array_equal(bundle.embeddings[item_type], embeddings[f"serve/{item_type}"])
    assert bundle.meta.embedding_dim == DIM
    readme = (bundle.folder / "README.md").read_text()
    assert ("pooled_vectors.safetensors" in readme) == (settings.pooled == "text")
    assert ("log(1 + count)" in readme) == spec.counts


def test_similar_items_are_those_of_the_hgnn(variant: Workspace) -> None:
    bundle = Bundle.open(variant.current("bundle"))
    embeddings = load_vectors(variant.current("hgnn").path("embeddings.safetensors"))["serve/podcast"]
    cosine = embeddings @ embeddings[3]
    cosine[3] = -1
    assert [row["item_id"] for row in bundle.similar("podcast-3", k=4).rows] == [
        f"podcast-{i}" for i in np.argsort(-cosine)[:4]
    ]


def test_a_variant_s_examples_are_clean_and_pool_what_it_pools(variant: Workspace) -> None:
    assert {found.result for found in (finding(check, AuditedRun.open(variant)) for check in CHECKS)} == {
        "clean", "not applicable"
    }  # fmt: skip
    towers = variant.current("towers")
    pooled = pl.read_parquet(towers.path("examples.parquet"))["pooled_items"]
    pools = FeatureSpec.model_validate_json(towers.path("features.json").read_text()).pools
    assert (pooled.max() == 0) == (not pools)
    assert pooled.max() <= 5 * len({pool for pool in pools if pool.group == "strong"}) + len(pools)


def vectors_of(batch: Batch) -> dict[str, bytes]:
    found = load_vectors(batch.path("item_vectors.safetensors")) | load_vectors(
        batch.path("user_vectors.safetensors")
    )
    return {name: matrix.tobytes() for name, matrix in found.items()}


@pytest.mark.parametrize(("sets", "same"), [(TWO_TOWERS, True), (TWO_TOWERS[:1], False), (TWO_TOWERS[1:], False)])
def test_nothing_of_the_hgnn_enters_the_two_towers_baseline(
    tmp_path: Path, sets: tuple[str, ...], same: bool
) -> None:
    found = []
    for turn in (1, -1):
        workspace = make_world(tmp_path / str(turn))
        vectors = load_vectors(workspace.current("hgnn").path("embeddings.safetensors"))
        with workspace.begin(StageSpec("hgnn", {"turn": turn}, 0, (workspace.current("graph"),))) as work:
            save_vectors(work.path("embeddings.safetensors"), {name: rows[::turn] for name, rows in vectors.items()})
            work.space_id = "hgnn-turned"
            work.commit()
        found.append(vectors_of(train_towers(workspace, quick_config("towers.epochs=1", *sets))))
    assert (found[0] == found[1]) == same


def test_weak_signals_are_gone_from_training_and_inference(tmp_path: Path) -> None:
    sets = ("towers.epochs=1", "towers.user_inputs=[demographics,history,counts]")
    rows, found = interactions(), []
    for name, frame in (("all", rows), ("strong", rows.filter(pl.col("signal") == "stream"))):
        workspace = Workspace(tmp_path / name)
        write_hgnn(workspace, write_graph(workspace, write_dataset(workspace, frame)))
        found.append(vectors_of(train_towers(workspace, quick_config(*sets))))
    assert found[0] == found[1]


def test_the_user_s_inputs_are_the_ones_named(tmp_path: Path) -> None:
    dataset = Dataset.current(make_world(tmp_path))

    def spec(*names: str) -> FeatureSpec:
        return feature_spec(dataset, 8, TowersSection.model_validate({"user_inputs": names}))

    whole = spec("demographics", "history", "weak", "counts")
    assert spec("demographics").pools == ()
    assert spec("demographics").categorical == whole.categorical
    assert {pool.group for pool in spec("history").pools} == {"strong"}
    assert {pool.group for pool in spec("weak", "counts").pools} == {"weak"}
    assert (spec("history").categorical, spec("history").counts) == ({}, False)
    assert (spec("weak", "counts").pooled_dim, spec("history", "weak").pooled_dim) == (2 * 9, 4 * 8)


def test_the_item_s_inputs_are_the_ones_named() -> None:
    items = pl.DataFrame({"item": [0, 1], "language": ["sv"] * 2, "genre": ["crime"] * 2, "creator": ["Ann"] * 2})
    text, embedding = np.array([[1, 2], [3, 4]], np.float32), np.array([[5], [6]], np.float32)
    expected = {
        "text": ([[1, 2], [3, 4]], {}, ()),
        "hgnn": ([[5], [6]], {}, ()),
        "language": ([[], []], {"language": ("sv",)}, ()),
        "genre": ([[], []], {}, ("crime",)),
        "creator": ([[], []], {"creator": ("Ann",)}, ()),
    }
    for name, (dense, categorical, genres) in expected.items():
        found = item_features(
            items, text, embedding, text[:, :0], TowersSection.model_validate({"item_inputs": [name]})
        )
        assert found.inputs(np.arange(2)).dense.tolist() == dense
        assert (found.spec.categorical, found.spec.genres) == (categorical, genres)
        assert found.num_items == 2
        later = found.as_of(embedding + 1, text[:, :0]).inputs(np.arange(2)).dense.tolist()
        assert later == ([[6], [7]] if name == "hgnn" else dense)


def test_what_is_left_must_be_there(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    dataset = write_dataset(workspace, interactions(), weak=())
    write_hgnn(workspace, write_graph(workspace, dataset))
    with pytest.raises(InputError, match="user tower has no input left") as error:
        train_towers(workspace, quick_config("towers.user_inputs=[weak,counts]"))
    assert "towers.user_inputs" in str(error.value)
    bare = Dataset.current(workspace).items("podcast").with_columns(genre=pl.lit(None, pl.String))
    zeros = np.zeros((ITEMS["podcast"], 1), np.float32)
    with pytest.raises(InputError, match="item tower has no input left"):
        item_features(bare, zeros, zeros, zeros[:, :0], TowersSection(item_inputs=("genre",)))


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("towers.user_inputs=[]", "at least 1"),
        ("towers.user_vectors=[music,music]", "'music' twice"),
        ("towers.item_inputs=[]", "at least 1"),
        ("towers.user_inputs=[history,musik]", "'counts'"),
        ("towers.user_inputs=[demographics,counts]", "leave counts out"),
        ("towers.user_inputs=[counts]", "leave counts out"),
        ("towers.pooled=both", "'text'"),
    ],
)
def test_inputs_that_cannot_be(override: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_config(overrides=[override])
