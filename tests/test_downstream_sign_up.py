"""The sign-up task of the downstream laboratory: new users, each as of four hours after registering."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import downstream_world as world
import numpy as np
import polars as pl
import pytest

import graphkit.downstream.new_users as new_users
from graphkit.artefacts import Batch, Workspace
from graphkit.datasets.store import Dataset
from graphkit.downstream.representations import mean_embeddings, nmf
from graphkit.downstream.sign_up import NewUserExamples, SignUp
from graphkit.downstream.stage import evaluate_users
from graphkit.downstream.task import NotApplicable
from graphkit.downstream.world import World

GOOD, RANDOM, OLD, MEAN = "autoencoder", "clue", "shopperbert", "mean embeddings"
TASK = "downstream.tasks=[sign-up]"
#: Who registers at the start of the label period, and who at the cut-off.
EARLY, LATE = np.arange(100), np.arange(100, 200)
HOURS = timedelta(hours=4)


def registered() -> pl.Series:
    """When each user registers; the last forty long ago."""
    when = [world.LABEL_START] * 100 + [world.CUTOFF] * 100 + [world.CUTOFF - timedelta(days=500)] * 40
    return pl.Series(when, dtype=pl.Datetime("ms", "UTC"))


def moments() -> pl.DataFrame:
    """``user`` and ``moment``, four hours after registering."""
    return pl.DataFrame({"user": pl.Series(range(world.NUM_USERS), dtype=pl.UInt32), "moment": registered() + HOURS})


def rows_since_registration() -> pl.DataFrame:
    """Of new users nothing before; a random item within the four hours, the taste in the week after."""
    rows = world.interactions()
    kept = rows.join(moments(), on="user", maintain_order="left").filter(pl.col("timestamp") >= pl.col("moment"))
    rng = np.random.default_rng(5)
    users = np.concatenate([EARLY, LATE])
    first = pl.DataFrame(
        {
            "user": users,
            "item_type": "podcast",
            "item": rng.integers(0, world.ITEMS["podcast"], len(users)),
            "signal": "stream",
            "timestamp": registered()[users.tolist()] + timedelta(hours=3),
            "seconds": None,
            "split": ["train"] * len(EARLY) + ["test"] * len(LATE),
        }
    ).cast(dict(rows.schema))
    old = rows.filter(pl.col("user") >= 200)
    return pl.concat([kept.drop("moment").filter(pl.col("user") < 200), first, old]).sort("user", "timestamp")


def make(root: Path, rows: pl.DataFrame | None = None, **columns: Any) -> Workspace:
    given = rows_since_registration() if rows is None else rows
    return world.make_world(root, rows=given, **({"registered_at": registered()} | columns))


def opened(workspace: Workspace) -> World:
    return World.of(workspace.upstream("downstream"), world.quick_config())


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Batch]:
    """A workspace with a perfect, a random, and an encoder without vectors of new users, and its batch; read only."""
    workspace = make(tmp_path_factory.mktemp("sign-up"))
    world.write_encoder(workspace, GOOD, world.true_tastes(), sign_up=world.true_tastes())
    world.write_encoder(workspace, RANDOM, world.noise(), sign_up=world.noise())
    world.write_encoder(workspace, OLD, world.true_tastes())
    return workspace, evaluate_users(workspace, world.quick_config(TASK))


def figure(batch: Batch, metric: str, model: str) -> dict[str, Any]:
    return pl.read_parquet(batch.path("results.parquet")).row(
        by_predicate=(pl.col("metric") == metric) & (pl.col("model") == model) & (pl.col("group") == "all"),
        named=True,
    )


def test_vectors_that_hold_the_taste_win_and_random_ones_do_not(measured: tuple[Workspace, Batch]) -> None:
    _, batch = measured
    assert figure(batch, "AUC", GOOD)["low"] > 0.75
    assert figure(batch, "AUC", GOOD)["difference_low"] > 0.1
    for name in (RANDOM, MEAN):
        assert figure(batch, "AUC", name)["high"] < 0.65
    table = pl.read_parquet(batch.path("results.parquet"))
    assert set(table["model"]) == {"popularity", "LightFM-like", MEAN, "NMF", GOOD, RANDOM}  # OLD has none of them
    assert set(table["group"]) == {"all"}  # all are as new
    assert {"AUC, nothing chosen", "accuracy"} <= set(table["metric"])
    assert "AUC, something chosen" not in table["metric"]


def test_examples_are_of_the_week_after_each_ones_moment(measured: tuple[Workspace, Batch]) -> None:
    workspace, _ = measured
    lab = opened(workspace)
    found = SignUp().prepare(lab)
    assert isinstance(found, NewUserExamples)
    log = Dataset.current(workspace).interactions().filter(signal="stream").join(moments().lazy(), on="user")
    week = log.filter(pl.col("timestamp").is_between("moment", pl.col("moment") + timedelta(days=7), closed="left"))
    met = set(lab.catalogue.pairs(week).rows())
    parts = found.examples.parts
    for names, users in ((("training", "validation"), EARLY), (("test",), LATE)):
        given = [
            (pair, label)
            for name in names
            for *pair, label in zip(parts[name].users, parts[name].items, parts[name].labels, strict=True)
        ]
        assert {tuple(map(int, pair)) for pair, label in given if label} == {p for p in met if p[0] in users}
        assert not {tuple(map(int, pair)) for pair, label in given if not label} & met
    assert not set(parts["training"].users) & set(parts["validation"].users)
    assert (parts["training"].moment, parts["test"].moment) == ("fit", "serve")


def test_nothing_of_a_new_users_moment_or_later_is_known(tmp_path: Path) -> None:
    """Whatever comes from then on: the same vectors, to the byte."""
    rows = rows_since_registration()
    late = rows.join(moments(), on="user", maintain_order="left").select(pl.col("timestamp") >= pl.col("moment"))
    late = late.to_series() & (rows["user"] < 200)
    moved = rows.with_columns(pl.when(late).then(0).otherwise("item").cast(pl.UInt32).alias("item"))
    first, other = opened(make(tmp_path / "a")), opened(make(tmp_path / "b", moved))
    for make_vectors in (mean_embeddings, nmf):
        ours, theirs = make_vectors(first).sign_up, make_vectors(other).sign_up
        assert ours is not None
        assert ours[:200].any(axis=1).mean() > 0.9
        assert not ours[200:].any()
        np.testing.assert_array_equal(ours, theirs)


def test_a_planted_leak_would_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is known by sign-up says nothing here; with a week of the future in it, it says (nearly) all."""
    workspace = make(tmp_path)
    honest = evaluate_users(workspace, world.quick_config(TASK))
    known = new_users.known_by_sign_up

    def leaking(dataset: Dataset, users: pl.DataFrame) -> pl.LazyFrame:
        return known(dataset, users.with_columns(pl.col("as_of") + timedelta(days=7)))

    monkeypatch.setattr(new_users, "known_by_sign_up", leaking)
    leaky = evaluate_users(workspace, world.quick_config(TASK, "run.seed=1"))
    assert figure(honest, "AUC", MEAN)["high"] < 0.65
    assert figure(leaky, "AUC", MEAN)["low"] > 0.7


def test_the_mean_is_over_what_was_met_and_chosen_by_then(tmp_path: Path) -> None:
    """Items' vectors are of the label period's start for its new users, of the cut-off for those after it."""
    chosen = pl.Series([["podcast-7", "gone"] if user in (3, 150) else None for user in range(world.NUM_USERS)])
    lab = opened(make(tmp_path, onboarding_items=chosen))
    found, rows = mean_embeddings(lab).sign_up, rows_since_registration()
    assert found is not None
    first = lab.catalogue.starts["podcast"]
    for user, moment in ((3, "fit"), (150, "serve"), (4, "fit")):
        met = rows.filter(user=user).sort("timestamp")["item"][0]
        items = first + np.array([met, 7] if user != 4 else [met])
        np.testing.assert_allclose(found[user], lab.catalogue.embeddings[moment][items].mean(axis=0), rtol=1e-5)
    assert np.flatnonzero(lab.new_users.chose).tolist() == [3, 150]


def test_without_new_users_it_says_why(tmp_path: Path) -> None:
    unknown = opened(world.make_world(tmp_path / "unknown"))
    found = SignUp().prepare(unknown)
    assert isinstance(found, NotApplicable)
    assert "0 users are known to have registered in the label period" in found.reason
    few = registered().to_list()
    few[110:200] = [None] * 90
    found = SignUp().prepare(opened(make(tmp_path / "few", registered_at=pl.Series(few, dtype=registered().dtype))))
    assert isinstance(found, NotApplicable)
    assert "10 users are known to have registered in the test period" in found.reason
    batch = evaluate_users(world.make_world(tmp_path / "untimed", timed=False), world.quick_config(TASK))
    assert "no timestamps" in json.loads(batch.path("results.json").read_text())["left_out"]["sign-up"]
