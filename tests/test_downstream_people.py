"""What the downstream laboratory tells of people, and whom they will follow."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import downstream_world as world
import numpy as np
import polars as pl
import pytest

from graphkit.artefacts import Batch, Workspace
from graphkit.downstream.creator_follow import CreatorExamples, CreatorFollow
from graphkit.downstream.profiling import ATTRIBUTES, Profile, ProfiledUsers
from graphkit.downstream.stage import evaluate_users
from graphkit.downstream.task import NotApplicable
from graphkit.downstream.world import World

GOOD, RANDOM = "autoencoder", "clue"
TASKS = "downstream.tasks=[creator-follow,profile-country,profile-age]"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Batch]:
    """A workspace with a perfect and a random encoder, and its batch; read only."""
    workspace = world.make_world(tmp_path_factory.mktemp("people"))
    world.write_encoder(workspace, GOOD, world.true_tastes())
    world.write_encoder(workspace, RANDOM, world.noise())
    return workspace, evaluate_users(workspace, world.quick_config(TASKS, "downstream.epochs=20"))


def figure(batch: Batch, task: str, metric: str, model: str) -> dict[str, Any]:
    rows = pl.read_parquet(batch.path("results.parquet"))
    return rows.filter(group="all", task=task, metric=metric, model=model).row(0, named=True)


def opened(workspace: Workspace, *overrides: str) -> World:
    return World.of(workspace.upstream("downstream"), world.quick_config(*overrides))


def test_an_attribute_is_told_from_vectors_that_hold_it(measured: tuple[Workspace, Batch]) -> None:
    _, batch = measured
    for metric in ("accuracy", "mean recall"):
        assert figure(batch, "profile-country", metric, GOOD)["low"] > 0.9
        assert figure(batch, "profile-country", metric, RANDOM)["high"] < 0.45
    assert figure(batch, "profile-country", "mean recall", "popularity")["value"] == pytest.approx(1 / world.TASTES)
    assert "two values" in json.loads(batch.path("results.json").read_text())["left_out"]["profile-age"]


def test_an_attribute_needs_no_timestamps_and_rare_values_are_counted(tmp_path: Path) -> None:
    countries = [*world.COUNTRIES] * (world.NUM_USERS // world.TASTES)
    countries[:3], countries[3:8] = ["IS"] * 3, [None] * 5
    lab = opened(world.make_world(tmp_path, timed=False, country=countries))
    found = Profile("country").prepare(lab)
    assert isinstance(found, ProfiledUsers)
    assert (found.num_values, found.num_rare) == (world.TASTES, 3)
    assert not set(range(8)) & set(found.users.tolist())
    parts = [found.part(part) for part in (lab.panel.training, lab.panel.validation, lab.panel.test)]
    assert len(np.unique(np.concatenate(parts))) == sum(map(len, parts)) == world.NUM_USERS - 8


def test_age_bands_start_at_their_edges(tmp_path: Path) -> None:
    ages = pl.Series(np.tile([24, 25, 34, 35], world.NUM_USERS // 4), dtype=pl.Int16)
    found = Profile("age").prepare(opened(world.make_world(tmp_path, age=ages)))
    assert isinstance(found, ProfiledUsers)
    assert found.values[:4].tolist() == [0, 1, 1, 2]


def test_vectors_that_hold_the_taste_foresee_whom_a_user_follows(measured: tuple[Workspace, Batch]) -> None:
    _, batch = measured
    for metric in ("AUC", "AUC, new creators"):
        assert figure(batch, "creator-follow", metric, GOOD)["low"] > 0.75
        assert figure(batch, "creator-follow", metric, RANDOM)["high"] < 0.68
    assert figure(batch, "creator-follow", "AUC", GOOD)["difference_low"] > 0


def test_positives_are_creators_followed_for_the_first_time(measured: tuple[Workspace, Batch]) -> None:
    workspace, _ = measured
    lab = opened(workspace)
    found = CreatorFollow().prepare(lab)
    assert isinstance(found, CreatorExamples)
    names = [sorted({world.creator(t, i) for i in range(count)}) for t, count in world.ITEMS.items()]
    names = [name for of_type in names for name in of_type]
    follows = lab.dataset.interactions(signals=("follow",)).collect()
    by_time: dict[bool, set[tuple[int, str]]] = {True: set(), False: set()}
    for user, item_type, item, time in follows.select("user", "item_type", "item", "timestamp").rows():
        by_time[time >= world.CUTOFF].add((user, world.creator(item_type, item)))
    test = found.examples.test
    given = {
        (user, names[item])
        for user, item, label in zip(test.users.tolist(), test.items.tolist(), test.labels, strict=True)
        if label
    }
    expected = by_time[True] - by_time[False]
    assert given == {pair for pair in expected if lab.panel.test[pair[0]]}
    assert found.counts["creators"] == len(names)


def test_a_creator_is_the_mean_of_its_items(tmp_path: Path) -> None:
    lab = opened(world.make_world(tmp_path))
    creators = lab.catalogue.grouped(lab.dataset.items(), "creator")
    assert dict(creators.num_items) == {"audiobook": 20, "podcast": 32}
    names = sorted({world.creator("podcast", item) for item in range(60)})
    row = creators.starts["podcast"] + names.index(world.creator("podcast", 5))
    first = lab.catalogue.starts["podcast"]
    expected = lab.catalogue.embeddings["fit"][[first + 1, first + 5]].mean(axis=0)
    np.testing.assert_allclose(creators.embeddings["fit"][row], expected, rtol=1e-5)


def test_without_the_signal_it_does_not_apply(tmp_path: Path) -> None:
    found = CreatorFollow().prepare(opened(world.make_world(tmp_path), "downstream.follow_signal=love"))
    assert isinstance(found, NotApplicable)
    assert "'love'" in found.reason


def test_age_bands_are_named_by_their_years() -> None:
    users = pl.DataFrame({"age": [24, 25, 34, 64, 65, None]}, schema_overrides={"age": pl.Int16})
    bands = ATTRIBUTES["age"].read(users).to_list()
    assert bands == ["0 to 24", "25 to 34", "25 to 34", "55 to 64", "65 or more", None]
