"""What every user encoder must hold to, whatever is inside. A new encoder joins by its name in ``towers.encoders``
and a row of quick settings here."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import towers_world as world

from graphkit.artefacts import Batch, Workspace
from graphkit.config import Config, load_config
from graphkit.datasets.store import Dataset
from graphkit.errors import ArtefactError, InputError
from graphkit.stages import ENCODERS
from graphkit.user_vectors import FOLDS, UserVectors, load_user_vectors, pair_folds
from towers import UserEncoder, train_encoder
from towers.encoders import MODULES

#: Settings under which an encoder trains in a second, and under which it trains long enough to be killed.
QUICK = {"autoencoder": ("autoencoder.hidden=[16]", "autoencoder.out_dim=8", "autoencoder.epochs=3")} | {
    name: (f"{name}.dim=8", f"{name}.heads=2", f"{name}.layers=1", f"{name}.batch_size=16", f"{name}.epochs=2")
    for name in ("clue", "simclr", "shopperbert")
}
LONG = {name: (f"{name}.epochs=40", f"{name}.patience=40") for name in QUICK}
EVERY = pytest.mark.parametrize("name", sorted(MODULES))
CLOSE = {"rtol": 1e-4, "atol": 1e-5}


def config_of(name: str, *overrides: str) -> Config:
    return load_config("default", ["run.threads=1", *QUICK[name], *overrides])


def train(root: Path, name: str, timed: bool = True, *overrides: str) -> tuple[Workspace, Batch]:
    workspace = world.make_world(root, timed)
    return workspace, train_encoder(workspace, config_of(name, *overrides), name)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """``trained(name, timed)``: a workspace and its encoder batch; read only."""
    made: dict[tuple[str, bool], tuple[Workspace, Batch]] = {}

    def get(name: str, timed: bool = True) -> tuple[Workspace, Batch]:
        if (name, timed) not in made:
            made[name, timed] = train(tmp_path_factory.mktemp(name), name, timed)
        return made[name, timed]

    return get


def read(batch: Batch, name: str, timed: bool) -> UserVectors:
    return load_user_vectors(batch.path("user_vectors.safetensors"), name, world.NUM_USERS, timed)


def logs(workspace: Workspace) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Train events and profiles, as someone outside has them."""
    dataset = Dataset.current(workspace)
    items, users = dataset.items().select("item_type", "item", "item_id"), dataset.users()
    rows = dataset.interactions("train").collect()
    events = rows.join(items, on=["item_type", "item"]).join(users.select("user", "user_id"), on="user")
    return events, users.drop("user")


def test_every_stage_has_a_module_and_settings_here() -> None:
    assert set(MODULES) == set(ENCODERS) == set(QUICK) == set(LONG)


@EVERY
@pytest.mark.parametrize("timed", [True, False])
def test_vectors_of_each_moment_are_written(trained: Any, name: str, timed: bool) -> None:
    _, batch = trained(name, timed)
    vectors = read(batch, name, timed)
    table = pl.read_parquet(batch.path("user_vectors.parquet"))
    np.testing.assert_array_equal(np.stack(table["vector"].to_list()), vectors.serve)
    assert table["user_id"].to_list() == [f"u{user}" for user in range(world.NUM_USERS)]
    for matrix in (*vectors.fit, vectors.serve):
        assert not matrix[world.NOBODY].any()
        others = np.delete(matrix, world.NOBODY, axis=0)
        assert len(np.unique(others.round(5), axis=0)) > world.NUM_USERS // 2
    assert str(batch.manifest.space_id).startswith(f"{name}-")
    assert batch.manifest.row_counts["users nothing is known of"] == 1


@EVERY
def test_the_same_seed_gives_the_same_bytes(trained: Any, name: str, tmp_path: Path) -> None:
    _, batch = trained(name)
    assert train(tmp_path / "again", name)[1].content_hash == batch.content_hash
    other = train(tmp_path / "other", name, True, "run.seed=1")[1]
    assert other.manifest.space_id != batch.manifest.space_id


@EVERY
@pytest.mark.parametrize(("moment", "end"), [("serve", world.CUTOFF), ("fit", world.LABEL_START)])
def test_users_by_their_ids_get_the_vectors_of_the_batch(trained: Any, name: str, moment: str, end: datetime) -> None:
    workspace, batch = trained(name)
    events, profiles = logs(workspace)
    given = UserEncoder.current(workspace, name).encode(events, profiles, as_of=end)
    vectors = read(batch, name, True)
    np.testing.assert_allclose(given.vectors, vectors.serve if moment == "serve" else vectors.fit[0], **CLOSE)
    assert given.table()["user_id"].to_list() == profiles["user_id"].to_list()


@EVERY
def test_without_timestamps_a_fit_vector_leaves_its_fold_out(trained: Any, name: str) -> None:
    workspace, batch = trained(name, False)
    events, profiles = logs(workspace)
    fold = pl.Series(np.zeros(events.height, np.int64))
    for item_type in world.ITEMS:
        rows = (events["item_type"] == item_type).to_numpy()
        own = events.filter(pl.Series(rows))
        fold[np.flatnonzero(rows)] = pair_folds(item_type, own["user"].to_numpy(), own["item"].to_numpy())
    vectors, encoder = read(batch, name, False), UserEncoder.current(workspace, name)
    for k in range(FOLDS):
        given = encoder.encode(events.filter(fold != k), profiles)
        np.testing.assert_allclose(given.vectors, vectors.fit[k], **CLOSE)
    np.testing.assert_allclose(encoder.encode(events, profiles).vectors, vectors.serve, **CLOSE)


@EVERY
@pytest.mark.parametrize("timed", [True, False])
def test_neither_the_other_users_nor_any_order_matters(trained: Any, name: str, timed: bool) -> None:
    workspace, _ = trained(name, timed)
    events, profiles = logs(workspace)
    encoder = UserEncoder.current(workspace, name)
    every = encoder.encode(events, profiles, as_of=world.CUTOFF)
    some = profiles[::-3]
    mine = events.join(some.select("user_id"), on="user_id").sample(fraction=1, shuffle=True, seed=3)
    given = encoder.encode(mine, some, as_of=world.CUTOFF)
    places = [every.user_ids.to_list().index(user_id) for user_id in given.user_ids]
    np.testing.assert_allclose(given.vectors, every.vectors[places], **CLOSE)


@EVERY
def test_unknown_items_are_counted_and_change_nothing(trained: Any, name: str) -> None:
    workspace, _ = trained(name)
    events, profiles = logs(workspace)
    encoder = UserEncoder.current(workspace, name)
    strange = events.head(7).with_columns(pl.lit("never-heard-of").alias("item_id"))
    strange = pl.concat([strange, events.head(4).with_columns(pl.lit("film").alias("item_type"))])
    with_strange = encoder.encode(pl.concat([strange, events]), profiles, as_of=world.CUTOFF)
    without = encoder.encode(events, profiles, as_of=world.CUTOFF)
    assert (with_strange.unknown_items, without.unknown_items) == (11, 0)
    np.testing.assert_allclose(with_strange.vectors, without.vectors, **CLOSE)


@EVERY
@pytest.mark.parametrize("timed", [True, False])
def test_an_empty_history_and_one_item(trained: Any, name: str, timed: bool) -> None:
    workspace, _ = trained(name, timed)
    events, _ = logs(workspace)
    encoder = UserEncoder.current(workspace, name)
    stranger = pl.DataFrame({"user_id": ["stranger"]})
    assert not encoder.encode(events.clear(), stranger, as_of=world.CUTOFF).vectors.any()
    one = events.filter(signal="stream", user_id="u7").head(1)
    single = encoder.encode(one, as_of=world.CUTOFF).vectors
    assert single.shape == (1, encoder.model.dim)
    assert np.isfinite(single).all()
    assert np.abs(single).max() > 1e-3
    other = encoder.encode(one.with_columns(pl.lit("podcast-1").alias("item_id"), item_type=pl.lit("podcast")))
    assert np.abs(single - other.vectors).max() > 1e-3


@EVERY
def test_nothing_of_the_label_period_is_learned_or_encoded(trained: Any, name: str, tmp_path: Path) -> None:
    """Other rows from the start of the label period on: the same model, the same vectors as of that moment."""
    _, batch = trained(name)
    rows = world.interactions()
    late = pl.col("timestamp") >= world.LABEL_START
    changed = rows.with_columns(pl.when(late).then((pl.col("item") + 7) % 24).otherwise(pl.col("item")).alias("item"))
    workspace = Workspace(tmp_path)
    dataset = world.write_dataset(workspace, changed.cast({"item": pl.UInt32}))
    world.write_hgnn(workspace, world.write_graph(workspace, dataset))
    other = train_encoder(workspace, config_of(name), name)
    assert other.manifest.space_id == batch.manifest.space_id
    ours, theirs = read(batch, name, True), read(other, name, True)
    np.testing.assert_array_equal(ours.fit[0], theirs.fit[0])
    assert not np.array_equal(ours.serve, theirs.serve)


def new_users(rows: pl.DataFrame) -> pl.DataFrame:
    """The users, of whom 1 to 3 register an hour before their last train row, 4 to 6 an hour before their first test
    row, and all others long ago."""
    train, test = (rows.filter(split=split).group_by("user") for split in ("train", "test"))
    last, first = train.agg(pl.col("timestamp").max()), test.agg(pl.col("timestamp").min())
    met = pl.concat([last.filter(pl.col("user").is_between(1, 3)), first.filter(pl.col("user").is_between(4, 6))])
    registered = pl.coalesce(pl.col("timestamp") - timedelta(hours=1), pl.lit(world.LABEL_START - timedelta(days=99)))
    people = world.people().join(met, on="user", how="left", maintain_order="left")
    return people.with_columns(registered.dt.cast_time_unit("ms").alias("registered_at")).drop("timestamp")


@EVERY
def test_new_users_have_vectors_of_their_own_moment_and_of_nothing_later(name: str, tmp_path: Path) -> None:
    """Those that they get by their ids, four hours after registering; other rows from then on change no byte."""
    rows = world.interactions()
    users = new_users(rows)
    moment = users.select("user", moment=pl.col("registered_at") + timedelta(hours=4))
    late = rows.join(moment, on="user", maintain_order="left").select(pl.col("timestamp") >= pl.col("moment"))
    late = late.to_series() & (rows["timestamp"] >= world.LABEL_START)
    moved = rows.with_columns(pl.when(late).then((pl.col("item") + 7) % 24).otherwise("item").cast(pl.UInt32))
    given = {}
    for place, made in (("first", rows), ("moved", moved)):
        workspace = Workspace(tmp_path / place)
        dataset = world.write_dataset(workspace, made, users=users)
        world.write_hgnn(workspace, world.write_graph(workspace, dataset))
        given[place] = read(train_encoder(workspace, config_of(name), name), name, True).sign_up
    workspace = Workspace(tmp_path / "first")
    encoder, (_, profiles) = UserEncoder.current(workspace, name), logs(workspace)
    items = Dataset.current(workspace).items().select("item_type", "item", "item_id")
    events = rows.join(items, on=["item_type", "item"]).join(users.select("user", "user_id"), on="user")
    assert given["first"] is not None
    for user, as_of in moment[1:7].rows():
        own = encoder.encode(events.filter(user=user), profiles[user : user + 1], as_of=as_of)
        np.testing.assert_allclose(given["first"][user], own.vectors[0], **CLOSE)
        assert own.vectors.any()
    assert not np.delete(given["first"], np.arange(1, 7), axis=0).any()
    np.testing.assert_array_equal(given["first"], given["moved"])


@EVERY
def test_without_new_users_there_are_no_vectors_of_them(trained: Any, name: str) -> None:
    assert read(trained(name, False)[1], name, False).sign_up is None


@EVERY
def test_a_killed_training_goes_on_to_the_same_bytes(name: str, tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", name, True, *LONG[name])[1]
    workspace = world.make_world(tmp_path / "killed")
    sets = ("run.threads=1", *QUICK[name], *LONG[name])
    words = ["train-encoder", name, "-w", str(workspace.root), *(word for text in sets for word in ("--set", text))]
    process = subprocess.Popen([sys.executable, "-m", "cli", *words], stderr=subprocess.DEVNULL)
    while process.poll() is None and not list(workspace.root.glob(f"{name}/.partial-*/checkpoint/*.safetensors")):
        time.sleep(0.002)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    assert list(workspace.root.glob(f"{name}/.partial-*/checkpoint/*.safetensors"))
    resumed = train_encoder(workspace, config_of(name, *LONG[name]), name)
    assert resumed.content_hash == whole.content_hash


@EVERY
def test_what_cannot_be_encoded_is_refused(trained: Any, name: str) -> None:
    workspace, _ = trained(name)
    events, profiles = logs(workspace)
    encoder = UserEncoder.current(workspace, name)
    with pytest.raises(InputError, match="no signal"):
        encoder.encode(events.drop("signal"))
    with pytest.raises(InputError, match="no timestamp"):
        encoder.encode(events.drop("timestamp"))
    with pytest.raises(InputError, match="60 without"):
        encoder.encode(events.head(60).with_columns(timestamp=pl.lit(None, pl.Datetime("ms", "UTC"))))
    with pytest.raises(InputError, match="'u1' twice"):
        encoder.encode(events, pl.concat([profiles, profiles[1:2]]))


@EVERY
def test_encoding_is_as_of_now_unless_told_otherwise(trained: Any, name: str) -> None:
    workspace, _ = trained(name)
    events, _ = logs(workspace)
    encoder, now = UserEncoder.current(workspace, name), datetime.now(UTC)
    recent = events.filter(user_id="u7").with_columns(
        timestamp=pl.lit(now - timedelta(days=1)).dt.cast_time_unit("ms")
    )
    by_default, told = encoder.encode(recent), encoder.encode(recent, as_of=now)
    np.testing.assert_allclose(by_default.vectors, told.vectors, rtol=1e-3, atol=1e-3)


@EVERY
def test_it_is_stale_once_its_dataset_is_another(trained: Any, name: str, tmp_path: Path) -> None:
    workspace, batch = train(tmp_path, name)
    dataset = world.write_dataset(workspace, world.interactions(), targets=("podcast",))
    if "graph" not in ENCODERS[name].upstream:  # it reads the dataset alone, and learns from the new one
        assert batch.id != train_encoder(workspace, config_of(name), name).id
        assert Workspace(tmp_path).current(name).manifest.upstream == {"dataset": dataset.id}
        return
    with pytest.raises(ArtefactError, match="another dataset batch"):
        train_encoder(workspace, config_of(name), name)
