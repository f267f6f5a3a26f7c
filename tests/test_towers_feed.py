"""Training batches: who is in them, and that no example sees its own label."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from towers_world import make_world, quick_config

from graphkit.artefacts import Workspace
from graphkit.histories import STRONG, Pool
from towers.epochs import Task
from towers.feed import ahead, epoch_batches, equal_pieces, examples_per_type, training_batch
from towers.fit import read_task
from towers.losses import linear_loss, softmax_loss
from towers.sources import read_sources


def world_task(workspace: Workspace, *overrides: str) -> Task:
    upstream = workspace.upstream("towers")
    settings = quick_config(*overrides).towers
    return read_task(read_sources(upstream, settings), seed=0)


@pytest.fixture(scope="module")
def timed(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return world_task(make_world(tmp_path_factory.mktemp("timed")))


@pytest.fixture(scope="module")
def untimed(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return world_task(make_world(tmp_path_factory.mktemp("untimed"), timed=False))


def test_without_the_inverse_probability_both_losses_weigh_every_item_the_same(timed: Task) -> None:
    labels = timed.train["podcast"]
    batches = [
        training_batch(timed.feed, labels, np.arange(20), quick_config(f"towers.inverse_probability={on}").towers)
        for on in ("true", "false")
    ]
    own, excluded = batches[0].y["own"], batches[0].y["excluded"]
    assert len(set(batches[0].y["probability"].tolist())) > 1
    assert set(batches[1].y["probability"].tolist()) == {1}
    scores = np.random.default_rng(0).uniform(-1, 1, excluded.shape).astype(np.float32)
    for loss in (linear_loss, partial(softmax_loss, temperature=0.1)):
        corrected, plain = (
            np.asarray(loss(scores, own, excluded, b.y["probability"], b.y["times"])) for b in batches
        )
        assert np.abs(corrected - plain).max() > 1e-4


def test_types_share_an_epoch_evenly() -> None:
    available = {"music": 1000, "book": 10, "movie": 400}
    assert examples_per_type(available, None, 2) == available
    assert examples_per_type(available, 310, 100) == {"music": 150, "book": 10, "movie": 150}
    assert examples_per_type(available, 1000, 100) == {"music": 590, "book": 10, "movie": 400}
    assert examples_per_type(available, 9999, 2) == available


def test_a_small_type_is_not_taken_too_often() -> None:
    available = {"music": 1000, "book": 10, "movie": 400}  # 141 are a tenth of all
    assert examples_per_type(available, 141, 2) == {"music": 70, "book": 2, "movie": 69}
    assert examples_per_type(available, 141, 1) == {"music": 100, "book": 1, "movie": 40}
    assert examples_per_type(available, 141, 5) == {"music": 68, "book": 5, "movie": 68}


@given(st.integers(0, 50), st.integers(1, 20))
def test_pieces_are_equal_and_lose_less_than_one_row_each(count: int, at_most: int) -> None:
    pieces = equal_pieces(np.arange(count), at_most)
    assert pieces.shape[1] <= at_most
    assert np.unique(pieces).size == pieces.size
    assert count - pieces.size < max(len(pieces), 1)


def test_an_epoch_is_seeded_and_holds_one_type_a_batch(timed: Task) -> None:
    def epoch(seed: int) -> list[tuple[str, bytes]]:
        rng = np.random.default_rng(seed)
        batches = list(epoch_batches(timed.feed, timed.train, timed.settings, rng))
        assert len(batches) == timed.batches_per_epoch
        assert {batch.item_type for batch in batches} == set(timed.train)
        assert all(len(batch.x["user"]["pooled"]) == batch.size <= 32 for batch in batches)
        assert all(batch.y["excluded"][np.arange(batch.size), batch.y["own"]].all() for batch in batches)
        return [(batch.item_type, batch.x["user"]["pooled"].tobytes()) for batch in batches]

    assert epoch(1) == epoch(1) != epoch(2)
    assert list(ahead(iter([1, 2, 3]))) == [1, 2, 3]


def test_ahead_passes_errors_on() -> None:
    def failing() -> object:
        yield 1
        raise ValueError("broken batch")

    with pytest.raises(ValueError, match="broken batch"):
        list(ahead(failing()))


@pytest.mark.parametrize("name", ["timed", "untimed"])
def test_no_example_sees_its_own_label(name: str, request: pytest.FixtureRequest) -> None:
    task: Task = request.getfixturevalue(name)
    item_type = "podcast"
    labels = task.train[item_type]
    for row in range(0, len(labels), 17):
        rows = np.array([row])
        changed = task.feed.users.embeddings[item_type].copy()
        changed[labels.items[row]] = 1e6
        users = replace(task.feed.users, embeddings=task.feed.users.embeddings | {item_type: changed})
        before = training_batch(task.feed, labels, rows, task.settings).x["user"]["pooled"]
        after = training_batch(replace(task.feed, users=users), labels, rows, task.settings).x["user"]["pooled"]
        assert before.tobytes() == after.tobytes()


def test_timed_histories_end_where_labels_begin(timed: Task, untimed: Task) -> None:
    # Five streams before the label period and two in it; without timestamps all seven are in the history.
    user = 1
    assert len(timed.feed.users.histories[Pool("podcast", STRONG)].of(user)) == 5
    assert len(untimed.feed.users.histories[Pool("podcast", STRONG)].of(user)) == 7


def test_history_dropout_empties_the_target_type_only(timed: Task) -> None:
    labels, rng = timed.train["podcast"], np.random.default_rng(0)
    settings = timed.settings.model_copy(update={"history_dropout": 1.0, "category_dropout": 1.0})
    rows = np.arange(20)
    dropped = training_batch(timed.feed, labels, rows, settings, rng).x["user"]
    whole = training_batch(timed.feed, labels, rows, settings).x["user"]
    width = timed.feed.users.spec.pooled_dim // 2  # audiobook pools, then podcast pools
    assert not dropped["pooled"][:, width:].any()
    assert (dropped["pooled"][:, :width] == whole["pooled"][:, :width]).all()
    assert not dropped["categorical"].any()
    assert whole["categorical"].any()


def test_probabilities_are_even_without_correction(timed: Task) -> None:
    even = timed.settings.model_copy(update={"inverse_probability": False})
    labels = timed.train["podcast"]
    items, times = np.unique(labels.items[:9], return_counts=True)
    plain = training_batch(timed.feed, labels, np.arange(9), even).y["probability"]
    assert set(plain.tolist()) == {1}
    y = training_batch(timed.feed, labels, np.arange(9), timed.settings).y
    assert y["times"][: len(items)].tolist() == times.tolist()
    assert y["probability"][: len(items)] == pytest.approx(timed.feed.probability["podcast"][items])
    assert y["probability"][: len(items)].max() < 1


def test_weak_examples_weigh_less_and_weakly_met_items_are_no_negatives(tmp_path: Path) -> None:
    task = world_task(make_world(tmp_path, timed=False), "towers.weak_weight=0.25")
    labels = task.train["podcast"]
    rows = np.flatnonzero(np.isin(labels.users, [2, 4, 6, 8]))
    batch, weak = training_batch(task.feed, labels, rows, task.settings), labels.weak[rows]
    assert 0 < weak.sum() < len(rows)
    weight = batch.y["weight"]
    assert weight.sum() == pytest.approx(1)
    assert weight[weak] == pytest.approx(0.25 * weight[~weak][0])
    met = [set(labels.known.of(u)) | set(labels.spared.of(u)) for u in labels.users[rows]]
    assert batch.y["excluded"][:, batch.y["own"]].tolist() == [
        [item in mine for item in labels.items[rows]] for mine in met
    ]
    assert all(side.weak is None for side in task.validation.values())
    plain = world_task(make_world(tmp_path / "plain", timed=False))
    for item_type, side in plain.validation.items():
        assert side.users.tolist() == task.validation[item_type].users.tolist()
        assert len(task.train[item_type]) > len(plain.train[item_type])


def test_an_example_without_a_negative_weighs_nothing(timed: Task) -> None:
    labels = timed.train["podcast"]
    alone = np.flatnonzero(labels.users == labels.users[0])[:2]  # each is the other's accidental hit
    assert training_batch(timed.feed, labels, alone, timed.settings).y["weight"].tolist() == [0, 0]
    other = np.flatnonzero(labels.users % 2 != labels.users[0] % 2)[:1]
    three = training_batch(timed.feed, labels, np.concatenate([alone, other]), timed.settings)
    assert three.y["weight"] == pytest.approx([1 / 3] * 3)


def test_validation_users_are_not_trained_on(timed: Task) -> None:
    for item_type in timed.train:
        assert not set(timed.train[item_type].users) & set(timed.validation[item_type].users)
        assert len(timed.validation[item_type])


def test_targets_need_not_be_all_types(tmp_path: Path) -> None:
    task = world_task(make_world(tmp_path, targets=("audiobook",)))
    assert set(task.train) == set(task.feed.items) == {"audiobook"}
    assert {cell.item_type for cell in task.cells} == {"audiobook"}
