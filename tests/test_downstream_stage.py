"""The downstream laboratory on a planted world: good vectors win, random ones do not, nothing sees the future."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import downstream_world as world
import numpy as np
import polars as pl
import pytest
from click.testing import Result

from graphkit.artefacts import Batch, Workspace
from graphkit.claims.claim import UsersMeasure, read_claims
from graphkit.claims.user_claims import Laboratory, judge_users
from graphkit.config.downstream import TASKS
from graphkit.datasets.store import Dataset
from graphkit.downstream.clusters import Cluster
from graphkit.downstream.future_listening import FutureListening
from graphkit.downstream.moments import Moment
from graphkit.downstream.next_item import NextItems
from graphkit.downstream.pair_examples import PairExamples
from graphkit.downstream.pairs import Pairs
from graphkit.downstream.panel import Panel
from graphkit.downstream.popularity import DemographicPopularity
from graphkit.downstream.representations import NMF, mean_embeddings, nmf
from graphkit.downstream.rivals import Rival
from graphkit.downstream.stage import evaluate_users
from graphkit.downstream.task import NotApplicable
from graphkit.downstream.tasks import ALL_TASKS
from graphkit.downstream.world import World
from graphkit.errors import ArtefactError, ConfigError
from graphkit.pipeline import finished, plan

GOOD, RANDOM, MEAN = "autoencoder", "clue", "mean embeddings"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Batch]:
    """A workspace with a perfect and a random encoder, and its batch; read only."""
    workspace = world.make_world(tmp_path_factory.mktemp("downstream"))
    world.write_encoder(workspace, GOOD, world.true_tastes())
    world.write_encoder(workspace, RANDOM, world.noise())
    return workspace, evaluate_users(workspace, world.quick_config())


def rows_of(batch: Batch) -> pl.DataFrame:
    return pl.read_parquet(batch.path("results.parquet"))


def figure(batch: Batch, task: str, metric: str, model: str, group: str = "all") -> dict[str, Any]:
    return rows_of(batch).row(
        by_predicate=(pl.col("task") == task)
        & (pl.col("metric") == metric)
        & (pl.col("model") == model)
        & (pl.col("group") == group),
        named=True,
    )


def opened(workspace: Workspace, *overrides: str) -> World:
    return World.of(workspace.upstream("downstream"), world.quick_config(*overrides))


def prepared(workspace: Workspace) -> PairExamples:
    found = FutureListening().prepare(opened(workspace))
    assert isinstance(found, PairExamples)
    return found


def test_every_task_has_its_name_in_the_settings() -> None:
    assert tuple(task.name for task in ALL_TASKS) == TASKS


def test_vectors_that_hold_the_taste_win_and_random_ones_do_not(measured: tuple[Workspace, Batch]) -> None:
    _, batch = measured
    for metric in ("accuracy", "AUC", "AUC, new items"):
        good, random = (figure(batch, "future-listening", metric, name) for name in (GOOD, RANDOM))
        assert good["low"] > 0.75
        assert good["difference_low"] > 0.1
        assert random["high"] < 0.65
        assert figure(batch, "future-listening", metric, MEAN)["high"] < 0.65
    country = {name: figure(batch, "cluster-country", "nDCG@50", name) for name in (GOOD, RANDOM)}
    assert country[GOOD]["value"] > 0.99
    assert country[GOOD]["difference_low"] > 0  # the mean has seen the label period
    assert country[RANDOM]["high"] < 0.4


def test_any_two_rows_are_compared_and_claims_read_it(measured: tuple[Workspace, Batch]) -> None:
    """Neither of the two is the mean embeddings, through which the interval would be wider."""
    _, batch = measured
    good, nmf_row, mean = (figure(batch, "future-listening", "AUC", name) for name in (GOOD, NMF, MEAN))
    pairs = pl.read_parquet(batch.path("comparisons.parquet"))
    cell = pairs.filter(task="future-listening", metric="AUC", group="all")
    assert cell.height == 6 * 5 / 2  # popularity, LightFM-like, the mean, NMF and two encoders
    assert cell.filter(pl.col("model") == pl.col("peer")).is_empty()
    (row,) = cell.filter(model=GOOD, peer=NMF).iter_rows(named=True)
    assert row["value"] == pytest.approx(good["value"] - nmf_row["value"])
    against_mean = cell.filter(model=GOOD, peer=MEAN).row(0, named=True)
    assert [against_mean[name] for name in ("value", "low", "high")] == [
        good[name] for name in ("difference", "difference_low", "difference_high")
    ]
    assert row["p_value"] <= row["p_holm"] < 0.001
    claims = read_claims()
    claim = next(one for one in claims.claim if one.id == "users-future-nmf-auc")
    assert isinstance(claim.measure, UsersMeasure)
    outcome = judge_users(claim.measure, claims, Laboratory(batch), "")
    assert (outcome.verdict, outcome.value, outcome.low) == ("holds", row["value"], row["low"])
    low = good["difference_low"] - nmf_row["difference_high"]
    high = good["difference_high"] - nmf_row["difference_low"]
    assert low < row["low"] < row["high"] < high
    assert mean["difference"] is None


def test_popularity_by_demographics_knows_the_country_alone(measured: tuple[Workspace, Batch]) -> None:
    """Users of a country share a taste, but none of the past shows it before the label period."""
    _, batch = measured
    found = figure(batch, "future-listening", "AUC", "popularity")
    assert found["low"] > 0.6  # at the cut-off the label period is past, and it shows the country's taste
    assert rows_of(batch).filter(task="cluster-country", model="popularity").is_empty()


@dataclass(frozen=True)
class Coin(Rival):
    """A kind of row that scores, and says nothing of what else it can do."""

    name: str = "coin"
    what: str = "chance"
    trained: bool = False

    def fit(self, training: Pairs, validation: Pairs, seed: int) -> Coin:
        return self

    def pairs(self, pairs: Pairs) -> np.ndarray:
        return np.random.default_rng(0).normal(size=len(pairs.users)).astype(np.float32)

    def ranking(self, moment: str, users: np.ndarray, items: slice) -> np.ndarray:
        return np.random.default_rng(0).normal(size=(len(users), items.stop - items.start)).astype(np.float32)


def test_a_row_takes_part_where_it_can(measured: tuple[Workspace, Batch]) -> None:
    lab = opened(measured[0])
    tasks = {task.name: task.prepare(lab) for task in ALL_TASKS}
    there = {name: task for name, task in tasks.items() if not isinstance(task, NotApplicable)}
    assert {"creator-follow", "profile-country", "cluster-creators"} <= set(there)
    assert {name for name, task in there.items() if task.measure(Coin()) is not None} == {
        "future-listening",
        "next-item",
    }
    found = rows_of(measured[1]).partition_by("model", as_dict=True)
    with_popularity = {"future-listening", "next-item", "creator-follow", "profile-country"}
    assert set(found[("popularity",)]["task"]) == with_popularity
    assert set(found[(MEAN,)]["task"]) == set(there)
    assert set(found[("BST",)]["task"]) == {"next-item"}


def test_users_who_are_trained_on_are_not_measured(measured: tuple[Workspace, Batch]) -> None:
    workspace, _ = measured
    examples = prepared(workspace)
    parts = [set(part.users.tolist()) for part in (examples.training, examples.validation, examples.test)]
    assert all(parts)
    assert sum(map(len, parts)) == len(set().union(*parts))
    assert examples.users.tolist() == sorted(parts[2])


def test_examples_are_what_comes_in_the_first_week_and_as_many_others(measured: tuple[Workspace, Batch]) -> None:
    workspace, _ = measured
    examples, catalogue = prepared(workspace), opened(workspace).catalogue
    log = Dataset.current(workspace).interactions().filter(pl.col("signal") == "stream")
    for pairs, start in ((examples.training, world.LABEL_START), (examples.test, world.CUTOFF)):
        coming = log.filter((pl.col("timestamp") >= start) & (pl.col("timestamp") < start + timedelta(days=7)))
        met = set(catalogue.pairs(coming).rows())
        given = list(zip(pairs.users.tolist(), pairs.items.tolist(), strict=True))
        assert {pair for pair, label in zip(given, pairs.labels, strict=True) if label} == {
            pair for pair in met if pair[0] in set(pairs.users.tolist())
        }
        assert not {pair for pair, label in zip(given, pairs.labels, strict=True) if not label} & met
        half = len(pairs.users) // 2
        kinds = catalogue.type_of[pairs.items]
        np.testing.assert_array_equal(kinds[:half], kinds[half:])


def test_nothing_is_known_of_a_moment_that_comes_later(tmp_path: Path) -> None:
    """What comes at a moment or later may be anything: what is known at it stays the same, to the byte."""
    rows = world.interactions()
    moved = pl.lit(0, pl.UInt32).alias("item")
    first = opened(world.make_world(tmp_path / "a"))
    for moment, at in (("fit", world.LABEL_START), ("serve", world.CUTOFF)):
        other_rows = rows.with_columns(pl.when(pl.col("timestamp") < at).then("item").otherwise(moved).alias("item"))
        other = opened(world.make_world(tmp_path / moment, rows=other_rows))
        for make in (mean_embeddings, nmf):
            np.testing.assert_array_equal(make(first).at(moment), make(other).at(moment))
        shares = [DemographicPopularity(one)._shares[moment] for one in (first, other)]
        np.testing.assert_array_equal(*shares)
        if moment == "serve":
            np.testing.assert_array_equal(first.panel.activity, other.panel.activity)


def test_a_planted_leak_would_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The history says nothing here; a history with a week of the future in it says (nearly) all."""
    workspace = world.make_world(tmp_path)
    only = ("downstream.tasks=[future-listening]",)
    honest = evaluate_users(workspace, world.quick_config(*only))

    def leaking(self: Moment, dataset: Dataset, signals: tuple[str, ...] | None = None) -> pl.LazyFrame:
        assert self.at is not None
        return dataset.interactions(None, signals).filter(pl.col("timestamp") < self.at + timedelta(days=7))

    monkeypatch.setattr(Moment, "known", leaking)
    leaky = evaluate_users(workspace, world.quick_config(*only, "run.seed=1"))
    assert figure(honest, "future-listening", "AUC", MEAN)["high"] < 0.65
    assert figure(leaky, "future-listening", "AUC", MEAN)["low"] > 0.7


def test_the_same_seed_gives_the_same_bytes(measured: tuple[Workspace, Batch], tmp_path: Path) -> None:
    _, batch = measured
    workspace = world.make_world(tmp_path)
    world.write_encoder(workspace, GOOD, world.true_tastes())
    world.write_encoder(workspace, RANDOM, world.noise())
    again = evaluate_users(workspace, world.quick_config())
    assert again.content_hash == batch.content_hash
    assert evaluate_users(workspace, world.quick_config("run.seed=1")).content_hash != batch.content_hash


def test_cold_and_heavy_users_are_the_fifths_at_the_ends() -> None:
    everyone = np.ones(10, bool)
    panel = Panel(everyone, everyone, everyone, np.array([5, 1, 9, 3, 7, 2, 8, 4, 6, 0]))
    groups = panel.groups(np.arange(10))
    assert np.flatnonzero(groups["cold"]).tolist() == [1, 9]
    assert np.flatnonzero(groups["heavy"]).tolist() == [2, 6]
    assert groups["all"].all()


@pytest.mark.parametrize("task", [task for task in ALL_TASKS if task.name in ("future-listening", "next-item")])
def test_a_sample_of_the_users_has_some_of_every_part(task: Any, measured: tuple[Workspace, Batch]) -> None:
    """A tenth of the users, as of a world with ten times ``max_users``."""
    examples = task.prepare(opened(measured[0], f"downstream.max_users={world.NUM_USERS // 10}"))
    assert not isinstance(examples, NotApplicable)
    examples = examples.parts if isinstance(examples, NextItems) else examples
    parts = [len(np.unique(part.users)) for part in (examples.training, examples.test)]
    assert min(parts) > world.NUM_USERS // 50


def test_a_sample_of_a_cluster_is_of_users_with_a_label(tmp_path: Path) -> None:
    """Of the first half of the users no country is known: the others' places are not their numbers."""
    half = world.NUM_USERS // 2
    country = [None if u < half else world.COUNTRIES[u % 4] for u in range(world.NUM_USERS)]
    workspace = world.make_world(tmp_path, country=pl.Series(country))
    asked = Cluster("country").prepare(opened(workspace, "downstream.max_users=20"))
    assert not isinstance(asked, NotApplicable)
    assert len(np.unique(asked.users)) == 20
    assert asked.users.min() >= half
    same = [sum(country[int(u)] == other for other in country) - 1 for u in asked.users]
    assert asked.alike.tolist() == same


def test_onboarding_clusters_are_of_new_users_alone(tmp_path: Path) -> None:
    """Users of a taste picked the same item; half of them registered long ago, and are no neighbours."""
    picked = pl.Series([[f"podcast-{u % world.TASTES}"] for u in range(world.NUM_USERS)])
    days = [10 if u < world.NUM_USERS // 2 else 400 for u in range(world.NUM_USERS)]
    registered = pl.Series([world.CUTOFF - timedelta(days=d) for d in days], dtype=pl.Datetime("ms", "UTC"))
    workspace = world.make_world(tmp_path, onboarding_items=picked, registered_at=registered)
    world.write_encoder(workspace, GOOD, world.true_tastes())
    world.write_encoder(workspace, RANDOM, world.noise())
    batch = evaluate_users(workspace, world.quick_config("downstream.tasks=[cluster-onboarding]"))
    found = figure(batch, "cluster-onboarding", "nDCG@50", GOOD)
    assert found["num_users"] == world.NUM_USERS // 2
    assert found["value"] > 0.99
    assert figure(batch, "cluster-onboarding", "nDCG@50", RANDOM)["high"] < 0.5


def test_favourite_creators_are_those_of_most_rows(tmp_path: Path) -> None:
    """Two users who share their favourite, three who share nothing."""
    rows = world.interactions().head(0)
    met = [(0, 0), (0, 0), (1, 4), (1, 0), (2, 20), (3, 30), (4, 37)]  # items 0 and 4 are of one creator
    made = pl.DataFrame(
        {
            "user": [user for user, _ in met],
            "item_type": "audiobook",
            "item": [item for _, item in met],
            "signal": "stream",
            "timestamp": world.CUTOFF - timedelta(days=50),
            "seconds": None,
            "split": "train",
        }
    ).cast(dict(rows.schema))
    workspace = world.make_world(tmp_path, rows=made)
    batch = evaluate_users(workspace, world.quick_config("downstream.tasks=[cluster-creators]"))
    about = json.loads(batch.path("results.json").read_text())["tasks"]["cluster-creators"]
    assert (about["users with a label"], about["users who share one"]) == (5, 2)


def test_without_timestamps_it_says_what_does_not_apply(tmp_path: Path) -> None:
    workspace = world.make_world(tmp_path, timed=False)
    world.write_encoder(workspace, GOOD, world.true_tastes(), timed=False)
    batch = evaluate_users(workspace, world.quick_config())
    left_out = json.loads(batch.path("results.json").read_text())["left_out"]
    assert "no timestamps" in left_out["future-listening"]
    assert "onboarding" in left_out["cluster-onboarding"]
    assert figure(batch, "cluster-country", "nDCG@50", GOOD)["value"] > 0.99


def test_the_command_prints_a_table_a_task(
    measured: tuple[Workspace, Batch], graphkit: Callable[..., Result]
) -> None:
    workspace, _ = measured
    words = ["evaluate-users", "-w", workspace.root, "--vectors", GOOD, "--tasks", "cluster-country"]
    words += [word for text in world.QUICK for word in ("--set", text)]
    done = graphkit(*words)
    assert done.exit_code == 0, done.output
    assert "cluster-country" in done.output
    assert "embeddings" in done.output
    assert RANDOM not in done.output
    again = json.loads(graphkit(*words, "--json").output)
    assert not again["fresh"]
    table = again[f"cluster-country: nDCG@50 ({world.NUM_USERS} users)"]
    assert {row["model"] for row in table} == {GOOD, MEAN, "NMF"}


def test_an_encoder_that_is_left_out_may_be_stale(tmp_path: Path) -> None:
    """One that was made of another dataset is refused, unless it is not asked for; then it decides nothing."""
    workspace = world.make_world(tmp_path, timed=False)
    world.write_encoder(workspace, RANDOM, world.noise(), timed=False)
    world.make_world(tmp_path)
    world.write_encoder(workspace, GOOD, world.true_tastes())
    every = world.quick_config("downstream.tasks=[cluster-country]")
    chosen = world.quick_config("downstream.tasks=[cluster-country]", f"downstream.vectors=[{GOOD}]")
    with pytest.raises(ArtefactError, match=f"current {RANDOM} was made from another dataset"):
        evaluate_users(workspace, every)
    assert "another dataset" in plan(workspace, every, ["downstream"])[0]["state"]
    (planned,) = plan(workspace, chosen, ["downstream"])
    assert (planned["reads"], planned["state"]) == (f"dataset, graph, hgnn, {GOOD}", "to do")
    batch = evaluate_users(workspace, chosen)
    assert set(rows_of(batch)["model"]) == {GOOD, MEAN, "NMF"}
    world.write_encoder(workspace, RANDOM, world.noise())
    assert finished(workspace, "downstream", chosen) == batch


def test_what_is_not_there_is_refused(measured: tuple[Workspace, Batch]) -> None:
    workspace, _ = measured
    with pytest.raises(ArtefactError, match="no shopperbert yet"):
        evaluate_users(workspace, world.quick_config("downstream.vectors=[shopperbert]"))
    with pytest.raises(ConfigError, match="no task 'futur"):
        world.quick_config("downstream.tasks=[futur-listening]")
