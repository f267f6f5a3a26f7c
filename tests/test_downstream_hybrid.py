"""The hybrid factorisation of the downstream laboratory."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import downstream_world as world
import numpy as np
import polars as pl
import pytest
import torch
from scipy import sparse

from graphkit.artefacts import Workspace
from graphkit.downstream.hybrid_features import item_features, profile_features
from graphkit.downstream.hybrid_mf import NAME, HybridModel, HybridRival, fit_hybrid, hybrid_loss
from graphkit.downstream.pairs import Pairs
from graphkit.downstream.stage import evaluate_users
from graphkit.downstream.world import World

MET = sparse.csr_array(np.array([[1, 1, 0], [0, 0, 0]], np.float32))


def opened(workspace: Workspace, *overrides: str) -> World:
    return World.of(workspace.upstream("downstream"), world.quick_config(*overrides))


def tasteful() -> pl.DataFrame:
    """What users met before the label period is of their taste, too."""
    before = pl.col("timestamp") < world.LABEL_START
    mine = pl.col("item") - pl.col("item") % world.TASTES + pl.col("user") % world.TASTES
    return world.interactions().with_columns(pl.when(before).then(mine).otherwise("item").alias("item"))


@pytest.fixture
def model() -> HybridModel:
    """Three items of the features 0; 1; 0 and 1; the first of two people has a feature."""
    items = sparse.csr_array(np.array([[1, 0], [0, 1], [1, 1]], np.float32))
    made = HybridModel(items, sparse.csr_array(np.array([[1], [0]], np.float32)), 2)
    with torch.no_grad():
        made.item_vectors[:] = torch.tensor([[1.0, 0], [0, 2]])
        made.item_biases[:] = torch.tensor([[0.5], [0.25]])
        made.met_vectors[:] = torch.tensor([[1.0, 1], [0, 4]])
        made.people_vectors[:] = torch.tensor([[10.0, 20]])
    return made


def test_vectors_are_sums_over_features_by_hand(model: HybridModel) -> None:
    vectors, biases = model.items(np.array([2, 0]))
    assert vectors.tolist() == [[1, 2], [1, 0]]
    assert biases.tolist() == [0.75, 0.5]
    # two items met: (1, 1) + (0, 4) over the root of 2
    found = model.users(MET, np.array([0, 1])).detach().numpy()
    np.testing.assert_allclose(found, [[10 + 1 / 2**0.5, 20 + 5 / 2**0.5], [0, 0]], rtol=1e-6)


def test_a_pair_is_not_in_its_own_history(model: HybridModel) -> None:
    hidden = model.users(MET, np.array([0, 0]), np.array([0, 1])).tolist()
    assert hidden == [[10, 24], [11, 21]]  # without the first item, then without the second
    alone = model.users(MET, np.array([0, 0]), np.array([0, 0]), torch.tensor([True, False]))
    assert alone.tolist() == [[10, 20], [10, 24]]


def test_negatives_are_of_the_type_and_not_met(tmp_path: Path) -> None:
    """With equal scores a pair stands among as many as count: the loss is the log of them and itself."""
    lab = opened(world.make_world(tmp_path))
    first = lab.catalogue.starts["podcast"]
    model = HybridModel(item_features(lab), profile_features(lab), 4)
    with torch.no_grad():
        for one in model.parameters():
            one.zero_()
    met = lab.met(lab.moments[0], lab.strong)
    mine = first + np.flatnonzero(met[[0]].toarray()[0, first:])[:2]
    strange = first + np.flatnonzero(met[[0]].toarray()[0, first:] == 0)[:3]
    others = np.concatenate([mine, strange, [0, 1]])  # met; counting; of another type
    found = hybrid_loss(lab, model, met, np.array([0]), mine[:1], others)
    assert float(found.detach()) == pytest.approx(np.log(1 + 3), rel=1e-5)


def test_features_are_those_that_items_and_people_share(tmp_path: Path) -> None:
    languages = pl.Series([["sv", "en"] if user < 2 else ["only"] if user == 2 else None for user in range(240)])
    lab = opened(world.make_world(tmp_path, onboarding_languages=languages))
    found = item_features(lab)
    shared = found[:, lab.catalogue.size :].toarray()
    assert (found[:, : lab.catalogue.size] != sparse.eye_array(lab.catalogue.size)).nnz == 0
    # 2 types, 1 language, 3 genres, and the creators of two items: 20 and 28 (of 32, four have one)
    assert shared.shape[1] == 2 + 1 + 3 + 20 + 28
    first = lab.catalogue.starts["podcast"]
    alike = shared @ shared.T
    assert alike[first, first + world.TASTES] == 5  # type, language, crime, history, creator
    assert alike[first, first + 3] == 3  # type, language, crime
    assert alike[0, first] == 3  # language and two genres: creators of two types are two
    people = profile_features(lab).toarray()
    assert people.shape[1] == 4 + 2  # countries, shared languages; nobody's age is known
    assert (people @ people.T)[0, 1] == 2
    assert people[2].sum() == 1


def test_it_learns_a_taste_that_the_history_shows(tmp_path: Path) -> None:
    settings = ("downstream.tasks=[future-listening,next-item,creator-follow,profile-country,cluster-country]",)
    settings += ("downstream.hybrid_epochs=60",)
    batch = evaluate_users(world.make_world(tmp_path, rows=tasteful()), world.quick_config(*settings))
    found = pl.read_parquet(batch.path("results.parquet")).filter(model=NAME, group="all")
    assert found.filter(task="future-listening", metric="AUC")["low"][0] > 0.7
    assert found.filter(task="future-listening", metric="accuracy")["low"][0] > 0.6
    assert set(found["task"]) == {"future-listening", "next-item"}


def test_nothing_of_the_label_period_is_learned_and_nothing_later_known(tmp_path: Path) -> None:
    rows, moved = world.interactions(), pl.lit(0, pl.UInt32)
    scores = {}
    for name, at in (("as it is", None), ("fit", world.LABEL_START), ("serve", world.CUTOFF)):
        made = (
            rows if at is None else rows.with_columns(pl.when(pl.col("timestamp") < at).then("item").otherwise(moved))
        )
        lab = opened(world.make_world(tmp_path / name, rows=made))
        model = fit_hybrid(lab, 0)
        moments = {moment.name: moment for moment in lab.moments}
        scores[name] = {
            key: model.users(lab.met(moment, lab.strong), np.arange(world.NUM_USERS)).detach().numpy()
            for key, moment in moments.items()
        }
    np.testing.assert_array_equal(scores["as it is"]["fit"], scores["fit"]["fit"])
    np.testing.assert_array_equal(scores["as it is"]["serve"], scores["serve"]["serve"])
    assert not np.array_equal(scores["as it is"]["serve"], scores["fit"]["serve"])


def test_new_users_are_scored_by_what_they_chose(tmp_path: Path) -> None:
    """Nobody has met anything yet; users 1 and 5 are of one country, and 1 chose an item."""
    when = pl.Series([world.CUTOFF] * world.NUM_USERS, dtype=pl.Datetime("ms", "UTC"))
    chosen = pl.Series([["podcast-7"] if user == 1 else None for user in range(world.NUM_USERS)])
    late = world.interactions().filter(pl.col("timestamp") > world.CUTOFF + timedelta(hours=4))
    lab = opened(world.make_world(tmp_path, rows=late, registered_at=when, onboarding_items=chosen))
    rival = HybridRival(lab).of_new_users()
    torch.manual_seed(0)
    rival.models[0] = HybridModel(item_features(lab), profile_features(lab), 4)
    pairs = Pairs("fit", np.array([0, 1]), np.array([0, 1]), np.array([True, False]))
    found = rival.fit(pairs, pairs, 0).ranking("serve", np.arange(8), slice(0, lab.catalogue.size))
    np.testing.assert_array_equal(found[0], found[4])
    assert not np.array_equal(found[0], found[2])
    assert not np.array_equal(found[1], found[5])
