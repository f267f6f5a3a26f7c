"""The columns of a batch: in-batch and catalogue negatives, how often each is met, and accidental hits among them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_towers_feed import world_task
from towers_world import ITEMS, make_world

from graphkit.user_features import History
from towers.epochs import Task, build_towers
from towers.feed import training_batch
from towers.losses import softmax_loss
from towers.negatives import Columns, batch_columns, no_negatives

SHARE = np.array([0.5, 0.3, 0.2, 0.01], dtype=np.float32)
ITEMS_OF_BATCH = np.array([0, 2, 0])


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return world_task(make_world(tmp_path_factory.mktemp("negatives")))


def with_negatives(task: Task, count: int) -> Task:
    return Task(**(vars(task) | {"settings": task.settings.model_copy(update={"catalogue_negatives": count})}))


def test_in_batch_columns_are_the_items_themselves() -> None:
    columns = batch_columns(ITEMS_OF_BATCH, SHARE, 0, np.random.default_rng(0))
    assert columns.items.tolist() == [0, 2, 0]
    assert columns.own.tolist() == [0, 1, 2]
    assert columns.probability.tolist() == pytest.approx([0.5, 0.2, 0.5])


def test_mixed_columns_know_how_often_an_item_is_met() -> None:
    columns = batch_columns(ITEMS_OF_BATCH, SHARE, 2, np.random.default_rng(0))
    assert columns.items[:3].tolist() == [0, 2, 0]
    assert len(set(columns.items[3:])) == 2
    # Three columns by popularity and two of four items evenly: (3 * share + 2 / 4) / 5.
    by_item = {0: (1.5 + 0.5) / 5, 1: (0.9 + 0.5) / 5, 2: (0.6 + 0.5) / 5, 3: (0.03 + 0.5) / 5}
    assert columns.probability.tolist() == pytest.approx([by_item[item] for item in columns.items])


def test_the_probability_is_the_share_of_columns_over_many_batches() -> None:
    rng, met = np.random.default_rng(0), np.zeros(4)
    share = SHARE / SHARE.sum()
    for _ in range(4000):
        columns = batch_columns(rng.choice(4, 3, p=share), share, 2, rng)
        met += np.bincount(columns.items, minlength=4)
    order = np.argsort(columns.items)
    found = dict(zip(columns.items[order].tolist(), columns.probability[order].tolist(), strict=True))
    for item, probability in found.items():
        assert met[item] / met.sum() == pytest.approx(probability, abs=0.01)


@pytest.mark.parametrize("extra", [4, 100])
def test_a_catalogue_of_no_more_items_is_taken_whole(extra: int) -> None:
    columns = batch_columns(ITEMS_OF_BATCH, SHARE, extra, None)
    assert columns.items.tolist() == [0, 1, 2, 3]
    assert columns.own.tolist() == [0, 2, 0]
    assert len(set(columns.probability.tolist())) == 1


@given(st.lists(st.lists(st.integers(0, 4), max_size=4), min_size=1, max_size=4), st.data())
def test_no_negatives_agree_with_a_loop(rows: list[list[int]], data: st.DataObject) -> None:
    indptr = np.cumsum([0, *map(len, rows)])
    history = History(indptr, np.array([i for row in rows for i in row], np.int32))
    items = data.draw(st.lists(st.integers(0, 6), min_size=1, max_size=5))
    users = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=1, max_size=len(items)))
    columns = Columns(np.array(items), np.arange(len(users)), np.ones(len(items), np.float32))
    found = no_negatives(np.array(users), columns, (history,))
    expected = [[item in rows[user] or n == k for n, item in enumerate(items)] for k, user in enumerate(users)]
    assert found.tolist() == expected


@pytest.mark.parametrize("count", [0, 7, 1000])
def test_no_user_is_pushed_from_what_it_likes(task: Task, count: int) -> None:
    """Accidental hits are masked among the batch's columns and among those of the catalogue."""
    labels, rows = task.train["podcast"], np.arange(30)
    batch = training_batch(task.feed, labels, rows, with_negatives(task, count).settings, np.random.default_rng(0))
    excluded, columns = batch.y["excluded"], len(batch.x["item"]["dense"])
    assert excluded.shape == (30, columns) == (30, {0: 30, 7: 37, 1000: ITEMS["podcast"]}[count])
    liked = [set(labels.known.of(user).tolist()) for user in labels.users[rows]]
    hidden = {tuple(row): item for item, row in enumerate(task.feed.items["podcast"].whole.dense)}
    items = [hidden[tuple(row)] for row in batch.x["item"]["dense"]]
    assert excluded.tolist() == [[item in mine for item in items] for mine in liked]
    assert excluded[np.arange(30), batch.y["own"]].all()
    assert [items[own] for own in batch.y["own"]] == labels.items[rows].tolist()
    assert excluded.sum() > 30  # there are accidental hits to be masked


def test_the_whole_catalogue_gives_the_full_softmax(task: Task) -> None:
    whole = with_negatives(task, 1000)
    labels, rows = whole.train["podcast"], np.arange(20)
    batch = training_batch(whole.feed, labels, rows, whole.settings)
    pair = build_towers(whole).pairs["podcast"]
    scores = np.asarray(pair(batch.x), dtype=np.float64)
    logits = scores / whole.settings.temperature
    losses = []
    for k, (user, item) in enumerate(zip(labels.users[rows], labels.items[rows], strict=True)):
        other = np.setdiff1d(np.arange(ITEMS["podcast"]), labels.known.of(user))
        losses.append(np.log(np.exp(logits[k, [item, *other]]).sum()) - logits[k, item])
    found = float(np.asarray(pair.compute_loss(y=batch.y, y_pred=pair(batch.x))))
    assert found == pytest.approx(np.mean(losses), rel=1e-4)


def test_the_correction_makes_a_sampled_softmax_estimate_the_full_one() -> None:
    """Mean gradient of the negatives' scores over many mixed batches, with the correction and without."""
    import tensorflow as tf

    rng, num_items = np.random.default_rng(1), 30
    share = rng.dirichlet(np.full(num_items, 0.5)).astype(np.float32)
    scores = rng.uniform(-1, 1, num_items).astype(np.float32)
    user_likes = 3

    def gradient(columns: Columns, probability: np.ndarray) -> np.ndarray:
        drawn = tf.constant(scores[columns.items][None])
        excluded = (columns.items == user_likes)[None]
        with tf.GradientTape() as tape:
            tape.watch(drawn)
            loss = tf.reduce_sum(softmax_loss(drawn, columns.own[:1].astype(np.int32), excluded, probability, 0.5))
        per_column = tape.gradient(loss, drawn).numpy()[0]
        return np.bincount(columns.items, per_column, minlength=num_items)

    def mean_gradient(corrected: bool) -> np.ndarray:
        total = np.zeros(num_items)
        for _ in range(300):
            batch = np.concatenate([[user_likes], rng.choice(num_items, 63, p=share / share.sum())])
            columns = batch_columns(batch, share, 20, rng)
            total += gradient(columns, columns.probability if corrected else np.ones_like(columns.probability))
        return total / 300

    full = gradient(batch_columns(np.array([user_likes]), share, num_items, rng), np.ones(num_items, np.float32))
    others = np.arange(num_items) != user_likes
    off = {corrected: np.abs(mean_gradient(corrected) - full)[others].sum() for corrected in (True, False)}
    assert off[True] < 0.25 * off[False]


def test_item_dropout_hides_the_graph_alone(task: Task, tmp_path: Path) -> None:
    settings = task.settings.model_copy(update={"item_dropout": 1.0})
    labels, rows = task.train["podcast"], np.arange(20)
    hidden = training_batch(task.feed, labels, rows, settings, np.random.default_rng(0)).x["item"]
    shown = training_batch(task.feed, labels, rows, settings).x["item"]
    width = task.feed.items["podcast"].spec.text_dim
    assert not hidden["dense"][:, width:].any()
    assert (hidden["dense"][:, :width] == shown["dense"][:, :width]).all()
    assert shown["dense"][:, width:].all(axis=1).any()
    assert (hidden["genres"] == shown["genres"]).all()
