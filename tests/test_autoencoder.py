"""The autoencoder's parts by hand: what items stand together, modality vectors, feature rows, the network."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import towers_world as world
from scipy import sparse

from graphkit.config import load_config
from graphkit.datasets.store import Dataset
from graphkit.errors import ConfigError
from graphkit.user_vectors import load_user_vectors
from towers import train_encoder
from towers.encoders.autoencoder import encoder as stage
from towers.encoders.autoencoder.cooccurrence import Together, count_together
from towers.encoders.autoencoder.features import ItemTable, feature_rows, something_known
from towers.encoders.autoencoder.modalities import (
    Modalities,
    collaborative_vectors,
    positive_pmi,
    principal_vectors,
)
from towers.encoders.autoencoder.normaliser import fit_normaliser
from towers.encoders.autoencoder.spec import InputSpec, input_spec
from towers.encoders.source import Source
from towers.encoders.users import Users, known_users

NOW = datetime(2024, 6, 1, tzinfo=UTC)
CATALOGUE = pl.DataFrame(
    {"item_type": ["book", "book", "film"], "item": [0, 1, 0], "item_id": ["b0", "b1", "f0"]},
    schema_overrides={"item": pl.UInt32},
)
#: The second book stands with nothing: it has no collaborative vector.
MODALITIES = Modalities(
    {
        "text": {"book": np.array([[1, 0], [0, 1]], np.float32), "film": np.array([[0, -1]], np.float32)},
        "collaborative": {"book": np.array([[1], [0]], np.float32), "film": np.array([[-1]], np.float32)},
    }
)
SPEC = InputSpec(
    types=("book", "film"),
    strong=("stream",),
    weak=("follow",),
    windows_days=(7, 30),
    modalities=MODALITIES.widths,
    countries=("DE", "SE"),
    languages=("de", "en"),
    age=True,
    tenure=True,
    onboarding=True,
    onboarding_days=90,
)
ITEMS = ItemTable.of(MODALITIES, SPEC.types)


def users_of(rows: list[tuple[int, str, int, str, float]], as_of: datetime | None = NOW, **profiles: Any) -> Users:
    """Rows (user, item type, item, signal, days ago) and profile columns of two users."""
    frame = pl.DataFrame(
        [(u, t, i, s, NOW - timedelta(days=days), None) for u, t, i, s, days in rows],
        schema={"user": pl.UInt32, "item_type": pl.String, "item": pl.UInt32, "signal": pl.String,
                "timestamp": pl.Datetime("ms", "UTC"), "seconds": pl.Float32},
        orient="row",
    )  # fmt: skip
    return known_users(frame, pl.DataFrame({"user_id": ["a", "b"], **profiles}), CATALOGUE, as_of)


def blocks(rows: np.ndarray, spec: InputSpec = SPEC) -> dict[str, np.ndarray]:
    """The columns of each block."""
    ends = np.cumsum([block.width for block in spec.blocks])
    return {block.name: rows[:, end - block.width : end] for block, end in zip(spec.blocks, ends, strict=True)}


def test_means_are_over_the_distinct_items_of_each_window() -> None:
    users = users_of(
        [
            (0, "book", 0, "stream", 3),
            (0, "book", 0, "stream", 5),  # again: once in the mean, twice in the count
            (0, "book", 1, "stream", 20),
            (0, "book", 1, "stream", 31),  # outside of every window
            (0, "film", 0, "follow", 1),  # weak: counted apart, in no mean
            (1, "book", 0, "stream", 7),  # the window holds its last moment
            (1, "book", 1, "stream", -1),  # the future
        ]
    )
    found = blocks(feature_rows(users, SPEC, ITEMS))
    np.testing.assert_allclose(found["book, 7 days, text"], [[1, 0], [1, 0]])
    np.testing.assert_allclose(found["book, 30 days, text"], [[0.5, 0.5], [1, 0]])
    # The second book has no such vector, so it is no part of the mean.
    np.testing.assert_allclose(found["book, 30 days, collaborative"], [[1], [1]])
    assert np.isnan(found["film, 30 days, text"]).all()
    np.testing.assert_allclose(found["book, strong rows"], np.log1p([[2, 3], [1, 1]]), rtol=1e-6)
    np.testing.assert_allclose(found["film, weak rows"], np.log1p([[1, 1], [0, 0]]), rtol=1e-6)


def test_a_mean_of_few_items_is_short() -> None:
    users = users_of([(0, "book", 0, "stream", 3), (1, "book", 0, "stream", 3), (1, "book", 1, "stream", 3)])
    spec = SPEC.model_copy(update={"shrinkage": 2.0})
    found = blocks(feature_rows(users, spec, ITEMS))
    np.testing.assert_allclose(found["book, 7 days, text"], [[1 / 3, 0], [0.25, 0.25]])
    np.testing.assert_allclose(found["book, 7 days, collaborative"], [[1 / 3], [1 / 3]])  # of one item each


def test_profiles_and_what_is_not_known_of_them() -> None:
    users = users_of(
        [],
        country=["SE", "FR"],
        age=[30, None],
        registered_at=[NOW - timedelta(days=9), None],
        onboarding_languages=[["en", "xx"], []],
    )
    found = blocks(feature_rows(users, SPEC, ITEMS))
    np.testing.assert_allclose(found["country"], [[0, 1], [np.nan, np.nan]])
    np.testing.assert_allclose(found["age"], [[30], [np.nan]])
    np.testing.assert_allclose(found["tenure"], [[math.log(10)], [np.nan]], rtol=1e-6)
    np.testing.assert_allclose(found["languages"], [[0, 1], [np.nan, np.nan]])
    assert something_known(feature_rows(users, SPEC, ITEMS), SPEC).tolist() == [True, False]


@pytest.mark.parametrize(("days", "counts"), [(89, True), (90, True), (91, False)])
def test_onboarding_counts_in_the_first_months_only(days: int, counts: bool) -> None:
    users = users_of(
        [(1, "film", 0, "stream", days)],  # whose registration is not known: first seen
        registered_at=[NOW - timedelta(days=days), None],
        onboarding_items=[["b0", "f0", "b1", "unheard of"], ["b1"]],
        onboarding_languages=[["de"], ["de"]],
    )
    found = blocks(feature_rows(users, SPEC, ITEMS))
    if not counts:
        assert np.isnan(found["onboarding, text"]).all()
        assert np.isnan(found["languages"]).all()
        return
    np.testing.assert_allclose(found["onboarding, text"], [[1 / 3, 0], [0, 1]], atol=1e-6)
    np.testing.assert_allclose(found["onboarding, collaborative"], [[0], [np.nan]])
    np.testing.assert_allclose(found["languages"], [[1, 0], [1, 0]])


def test_who_registers_later_is_not_known_yet() -> None:
    later = {"registered_at": [NOW + timedelta(days=1), NOW - timedelta(days=1)], "country": ["SE", "SE"]}
    users = users_of([], onboarding_items=[["b0"], ["b0"]], **later)
    rows = feature_rows(users, SPEC, ITEMS)
    assert something_known(rows, SPEC).tolist() == [False, True]
    assert np.isnan(blocks(rows)["onboarding, text"][0]).all()


def test_without_timestamps_there_is_one_window_and_onboarding_always_counts() -> None:
    spec = SPEC.model_copy(update={"windows_days": (), "tenure": False})
    users = users_of(
        [(0, "book", 0, "stream", 400), (0, "book", 1, "stream", 3)], None, onboarding_items=[["b0"], []]
    )
    found = blocks(feature_rows(users, spec, ITEMS), spec)
    np.testing.assert_allclose(found["book, all, text"], [[0.5, 0.5], [np.nan, np.nan]])
    np.testing.assert_allclose(found["onboarding, text"], [[1, 0], [np.nan, np.nan]])


@pytest.mark.parametrize(
    ("group", "gone"),
    [
        ("histories", [f"{t}, {days} days, text" for t in world.ITEMS for days in (7, 30, 182)]),
        ("onboarding", ["onboarding, text", "languages"]),
        ("static", ["country", "age"]),
    ],
)
def test_a_group_of_features_that_is_left_out_has_no_column(tmp_path: Path, group: str, gone: list[str]) -> None:
    people = world.people().with_columns(
        registered_at=pl.lit(world.CUTOFF - timedelta(days=30)).dt.cast_time_unit("ms"),
        onboarding_items=pl.lit(["podcast-1"]),
        onboarding_languages=pl.lit(["sv"]),
    )
    batch = world.write_dataset(world.make_world(tmp_path), world.interactions(), users=people)
    source, widths = Source(Dataset.open(batch), {}), {"text": 2}
    vectors = {t: np.ones((count, 2), np.float32) for t, count in world.ITEMS.items()}
    items = ItemTable.of(Modalities({"text": vectors}), tuple(world.ITEMS))
    whole = input_spec(source, widths, load_config("default").autoencoder)
    less = input_spec(source, widths, load_config("default", [f"autoencoder.without=[{group}]"]).autoencoder)
    assert [block.name for block in whole.blocks if block not in less.blocks] == gone
    users = source.users(source.moments[-1], 0, world.NUM_USERS)
    found, left = (blocks(feature_rows(users, spec, items), spec) for spec in (whole, less))
    assert set(found) - set(left) == set(gone)
    for name, columns in left.items():
        np.testing.assert_array_equal(columns, found[name])


def test_normalisation_centres_columns_and_scales_blocks_by_what_is_known() -> None:
    spec = SPEC.model_copy(update={"types": ("book",), "windows_days": (7,), "modalities": {"text": 2}, "weak": ()})
    spec = spec.model_copy(update={"countries": (), "languages": (), "tenure": False, "onboarding": False})
    assert [tuple(block) for block in spec.blocks] == [
        ("book, 7 days, text", 2, 1.0),
        ("book, strong rows", 1, 1.0),
        ("age", 1, 1.0),
    ]
    rows = np.array([[1, 0, 2, 20], [3, 6, 2, np.nan], [np.nan, np.nan, 2, 40]], np.float32)
    normalised = fit_normaliser(rows, spec)(rows)
    scale = math.sqrt((1 + 9 + 1 + 9) / 4)
    np.testing.assert_allclose(normalised[:2, :2], [[-1 / scale, -3 / scale], [1 / scale, 3 / scale]], rtol=1e-6)
    np.testing.assert_allclose(normalised[2], [0, 0, 0, 1])  # not known: the mean; a constant: 0
    np.testing.assert_allclose(normalised[:, 3], [-1, 0, 1])


def test_short_windows_weigh_less_and_the_profile_more() -> None:
    spec = SPEC.model_copy(update={"windows_days": (7, 30, 182), "window_weight": 0.5, "profile_weight": 1.4})
    weight = {block.name: block.weight for block in spec.blocks}
    for days in (7, 30, 182):
        assert weight[f"film, {days} days, text"] == pytest.approx(math.sqrt(days / 182))
    assert weight["film, weak rows"] == 1
    assert {weight[name] for name in ("country", "age", "tenure", "onboarding, text", "languages")} == {1.4}
    rows = np.random.default_rng(0).normal(size=(50, spec.dim)).astype(np.float32)
    length = {name: np.square(part).mean() for name, part in blocks(fit_normaliser(rows, spec)(rows), spec).items()}
    for block in spec.blocks:
        assert length[block.name] == pytest.approx(block.weight**2, rel=1e-4)


def test_vectors_take_the_metric_of_the_rows_however_the_network_came_to_them() -> None:
    """An encoder, and the same with its vectors stretched and turned: the same inner products, those of the rows."""
    from towers.backend import prepare, to_numpy
    from towers.encoders.autoencoder.metric import take_metric
    from towers.encoders.autoencoder.model import Autoencoder

    prepare(0, 1)
    settings = load_config("default", ["autoencoder.hidden=[9]", "autoencoder.out_dim=4"]).autoencoder
    rng = np.random.default_rng(0)
    rows = rng.normal(size=(300, 7)).astype(np.float32)
    model = Autoencoder(7, settings)
    before = to_numpy(model.encoder({"features": rows}))
    layer, grams = model.encoder.get_layer("vector"), []
    kernel, bias = (to_numpy(weight) for weight in layer.weights)
    for turn in (np.eye(4), rng.normal(size=(4, 4)) * [[9], [1], [1], [0.1]]):
        layer.set_weights([kernel @ turn, bias @ turn])
        take_metric(model, rows)
        vectors = to_numpy(model.encoder({"features": rows}))
        np.testing.assert_allclose(vectors.mean(axis=0), 0, atol=1e-4)
        grams.append(vectors @ vectors.T)
    normalised = to_numpy(model.normalise(rows))
    known = np.c_[before, np.ones(len(rows))]
    again = known @ np.linalg.lstsq(known, normalised, rcond=None)[0]
    again -= again.mean(axis=0)
    for gram in grams:
        np.testing.assert_allclose(gram, again @ again.T, atol=0.02)


def test_positive_pmi_by_hand() -> None:
    counts = sparse.csr_array(np.array([[0, 3, 1], [3, 0, 0], [1, 0, 0]], np.float32))
    total = np.array([4.0, 3.0, 1.0])
    context = total**0.75
    expected = np.zeros((3, 3))
    for i, j in ((0, 1), (1, 0), (0, 2), (2, 0)):
        joint = counts[i, j] / total.sum()
        pmi = math.log(joint / (total[i] / total.sum() * context[j] / context.sum()))
        expected[i, j] = max(pmi, 0)
    assert (expected > 0).sum() >= 2
    np.testing.assert_allclose(positive_pmi(counts).toarray(), expected, rtol=1e-5)


def test_items_that_stand_together_are_close_and_one_that_does_not_has_no_vector() -> None:
    near = np.kron(np.eye(2), np.ones((4, 4))) - np.eye(8)  # two groups of four
    counts = np.pad(near, ((0, 1), (0, 1))).astype(np.float32)  # and a loner
    together = Together(sparse.csr_array(counts), {})
    vectors = collaborative_vectors(together, {"book": 5, "film": 4}, 2, seed=0)
    every = np.concatenate([vectors["book"], vectors["film"]])
    likeness = every @ every.T
    assert likeness[:4, :4].min() > 0.9 > 0.1 > np.abs(likeness[:4, 4:8]).max()
    assert not every[8].any()
    np.testing.assert_allclose(np.linalg.norm(every[:8], axis=1), 1, rtol=1e-5)


def test_text_vectors_keep_angles_and_blanks() -> None:
    rng = np.random.default_rng(0)
    text = {"book": rng.normal(size=(40, 5)).astype(np.float32), "film": np.zeros((2, 5), np.float32)}
    text["film"][1] = text["book"][3]
    every = principal_vectors(text, 80)
    assert every["book"].shape == (40, 5)
    assert not every["film"][0].any()
    np.testing.assert_allclose(every["film"][1], every["book"][3], atol=1e-6)
    centred = text["book"] - np.concatenate([text["book"], text["film"][1:]]).mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    np.testing.assert_allclose(every["book"] @ every["book"].T, unit @ unit.T, atol=1e-4)
    assert principal_vectors(text, 3)["book"].shape == (40, 3)


@pytest.fixture
def sessions(tmp_path: Path) -> Source:
    """Three users' streams, one of them in the label period, and playlists."""
    workspace = world.make_world(tmp_path)
    hours = [
        (1, 0, 100.0),
        (1, 1, 99.0),
        (1, 2, 70.0),
        (1, 3, 69.0),
        (1, 4, 68.0),
        (2, 0, 50.0),
        (3, 5, -30.0),
        (3, 6, -30.5),
    ]
    rows = [
        {"user": user, "item_type": "podcast", "item": item, "signal": "stream", "split": "train",
         "timestamp": world.LABEL_START - timedelta(hours=ago)}
        for user, item, ago in hours
    ]  # fmt: skip
    batch = world.write_dataset(workspace, world.frame(rows))
    playlists = pl.DataFrame(
        {"playlist_id": ["p", "p", "p", "q"], "item_type": ["podcast", "audiobook", "audiobook", "podcast"],
         "item": [7, 0, 0, 8], "position": [0, 1, 2, 0]},
        schema_overrides={"item": pl.UInt32, "position": pl.UInt32},
    )  # fmt: skip
    playlists.write_parquet(batch.path("playlists.parquet"))
    return Source(Dataset.open(batch), {})


def test_a_pause_ends_a_session_and_long_baskets_do_not_outweigh(sessions: Source) -> None:
    settings = load_config("default").autoencoder
    together = count_together(sessions, settings, seed=0)
    first = world.ITEMS["audiobook"]  # podcasts stand after the audiobooks
    found = {(int(i), int(j)): float(together.pairs[i, j]) for i, j in zip(*together.pairs.nonzero(), strict=True)}
    pairs = {(first, first + 1): 1.0, (0, first + 7): 1.0}
    pairs |= {(first + i, first + j): 0.5 for i in (2, 3, 4) for j in (2, 3, 4) if i < j}
    assert found == pytest.approx(pairs | {(j, i): weight for (i, j), weight in pairs.items()})
    assert together.counts == {"baskets": 3, "baskets counted": 3}
    alone = count_together(sessions, settings.model_copy(update={"baskets": ("playlists",)}), seed=0)
    assert alone.pairs.nnz == 2
    cut = count_together(sessions, settings.model_copy(update={"max_basket": 2}), seed=0)
    assert cut.pairs.nnz == 6


def test_beyond_max_pairs_a_seeded_sample_of_the_baskets_is_counted(sessions: Source) -> None:
    settings = load_config("default", ["autoencoder.max_pairs=4"]).autoencoder
    drawn = {count_together(sessions, settings, seed).pairs.nnz for seed in range(12)}
    for seed in range(12):
        together = count_together(sessions, settings, seed)
        assert together.pairs.nnz <= 4
        assert together.counts["baskets"] == 3
    assert len(drawn) > 1


def test_windows_must_ascend() -> None:
    with pytest.raises(ConfigError, match="ascend"):
        load_config("default", ["autoencoder.windows_days=[30, 7]"])


def test_what_the_settings_say_blocks_weigh_reaches_the_rows(tmp_path: Path) -> None:
    source = Source(Dataset.current(world.make_world(tmp_path)), {})
    sets = ["autoencoder.window_weight=2", "autoencoder.profile_weight=3"]
    spec = input_spec(source, {"text": 2}, load_config("default", sets).autoencoder)
    weight = {block.name: block.weight for block in spec.blocks}
    assert weight["podcast, 30 days, text"] == pytest.approx((30 / 182) ** 2)
    assert weight["age"] == 3


def test_the_stage_takes_the_metric_unless_it_is_told_not_to(tmp_path: Path) -> None:
    """The same training: vectors with the metric are a linear map of those without, less their mean over the users
    that were trained on."""
    vectors = {}
    for metric in ("true", "false"):
        sets = ["run.threads=1", "autoencoder.hidden=[16]", "autoencoder.out_dim=6", "autoencoder.epochs=4"]
        config = load_config("default", [*sets, f"autoencoder.metric={metric}"])
        batch = train_encoder(world.make_world(tmp_path / metric), config, "autoencoder")
        found = load_user_vectors(batch.path("user_vectors.safetensors"), "autoencoder", world.NUM_USERS, True)
        vectors[metric] = np.delete(found.fit[0], world.NOBODY, axis=0).astype(np.float64)
    assert not np.allclose(vectors["true"], vectors["false"], atol=0.01)
    known = np.c_[vectors["false"], np.ones(len(vectors["false"]))]
    again = known @ np.linalg.lstsq(known, vectors["true"])[0]
    np.testing.assert_allclose(again, vectors["true"], atol=1e-3)
    deviation = vectors["true"].std(axis=0)
    assert np.abs(vectors["true"].mean(axis=0) / deviation).max() < 0.5  # a tenth of the users was held out


def test_the_loss_is_the_mean_length_of_the_residual_and_training_lowers_it(tmp_path: Path) -> None:
    from towers.backend import prepare, to_numpy
    from towers.encoders.autoencoder.model import Autoencoder
    from towers.encoders.autoencoder.normaliser import Normaliser
    from towers.encoders.autoencoder.train import Held, train, validate

    prepare(0, 1)
    sets = ["autoencoder.hidden=[12]", "autoencoder.out_dim=4", "autoencoder.epochs=60", "autoencoder.patience=60",
            "autoencoder.batch_size=16", "autoencoder.learning_rate=0.01", "autoencoder.dropout=0"]  # fmt: skip
    settings = load_config("default", sets).autoencoder
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(200, 3)) @ rng.normal(size=(3, 10))).astype(np.float32)  # four numbers are enough
    rows[::7, 4:] = np.nan
    normaliser = Normaliser(np.zeros(10, np.float32), np.full(10, 2, np.float32))
    model = Autoencoder(10, settings)
    model.normalise_by(normaliser)
    residual = to_numpy(model(rows, training=False))
    again = to_numpy(model.decoder(to_numpy(model.encoder({"features": rows}))))
    np.testing.assert_allclose(residual, normaliser(rows) - again, atol=1e-5)
    length = np.linalg.norm(residual, axis=1).mean()
    assert float(model.compute_loss(y_pred=residual)) == pytest.approx(length, rel=1e-4)
    assert validate(model, rows)["val_loss"] == pytest.approx(length, rel=1e-4)
    train(model, Held(rows[40:], rows[:40]), settings, 0, tmp_path)
    assert validate(model, rows[:40])["val_explained"] > 0.9


def test_dropout_is_alpha_and_off_when_encoding() -> None:
    from towers.backend import keras, prepare, to_numpy
    from towers.encoders.autoencoder.model import Autoencoder

    prepare(0, 1)
    model = Autoencoder(6, load_config("default", ["autoencoder.dropout=0.3"]).autoencoder)
    rows = np.random.default_rng(0).normal(size=(5, 6)).astype(np.float32)
    twice = [to_numpy(model.encoder({"features": rows})) for _ in range(2)]
    np.testing.assert_array_equal(*twice)
    drawn = [to_numpy(model.encoder({"features": rows}, training=True)) for _ in range(2)]
    assert not np.allclose(*drawn)
    assert {type(layer) for layer in model.dropouts} == {keras.layers.AlphaDropout}
    repeated = []
    for _ in range(2):
        model.seed_dropout(0, 3)
        repeated.append(to_numpy(model.encoder({"features": rows}, training=True)))
    np.testing.assert_array_equal(*repeated)


def test_the_exported_encoder_normalises_imputes_and_needs_no_tensorflow(tmp_path: Path) -> None:
    import subprocess
    import sys

    workspace = world.make_world(tmp_path)
    sets = ["run.threads=1", "autoencoder.hidden=[16]", "autoencoder.out_dim=8", "autoencoder.epochs=2"]
    batch = train_encoder(workspace, load_config("default", sets), "autoencoder")
    code = f"""
import sys, numpy as np
from pathlib import Path
from towers.encoders.autoencoder.encoder import load
encoder = load(Path({str(batch.folder)!r}))
rows = np.full((3, encoder.spec.dim), np.nan, np.float32)
rows[1, 0], rows[2, -1] = 1, 2
vectors = encoder.encode_rows(rows)
heavy = {{"tensorflow", "keras", "torch"}} & set(sys.modules)
print(vectors.any(axis=1).tolist(), np.isfinite(vectors).all(), sorted(heavy))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[False,", "True,", "True]", "True", "[]"]
    assert stage.load(batch.folder).dim == 8
