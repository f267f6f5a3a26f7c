"""The columns of a batch: in-batch and catalogue negatives, how often each is met, and accidental hits among them."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_towers_feed import world_task
from towers_world import ITEMS, make_world

from graphkit.histories import History
from towers.epochs import Task, build_towers
from towers.feed import training_batch
from towers.losses import linear_loss, softmax_loss
from towers.negatives import Columns, batch_columns, no_negatives

SHARE = np.array([0.5, 0.3, 0.2, 0.01], dtype=np.float32)
ITEMS_OF_BATCH = np.array([0, 2, 0])


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return world_task(make_world(tmp_path_factory.mktemp("negatives")))


def with_negatives(task: Task, count: int) -> Task:
    return Task(**(vars(task) | {"settings": task.settings.model_copy(update={"catalogue_negatives": count})}))


def test_in_batch_columns_are_the_batch_s_items() -> None:
    columns = batch_columns(ITEMS_OF_BATCH, SHARE, 0, np.random.default_rng(0))
    assert columns.items.tolist() == [0, 2]
    assert columns.own.tolist() == [0, 1, 0]
    assert columns.used == 2
    assert columns.probability.tolist() == pytest.approx([0.5, 0.2])
    assert columns.times.tolist() == [2, 1]


def test_mixed_columns_know_how_often_an_item_is_met() -> None:
    columns = batch_columns(ITEMS_OF_BATCH, SHARE, 2, np.random.default_rng(0))
    items = columns.items[: columns.used].tolist()
    assert items[columns.own[0]] == items[columns.own[2]] == 0
    assert items[columns.own[1]] == 2
    # Three of five by popularity and two of four items evenly: (3 * share + 2 / 4) / 5.
    by_item = [(1.5 + 0.5) / 5, (0.9 + 0.5) / 5, (0.6 + 0.5) / 5, (0.03 + 0.5) / 5]
    assert columns.probability[: columns.used] == pytest.approx([by_item[item] for item in items])
    times = dict(zip(items, columns.times.tolist(), strict=False))
    assert sum(times.values()) == 5
    assert (times[0], times[2]) in [(2, 1), (3, 1), (2, 2), (3, 2)]


def test_the_probability_is_the_share_of_columns_over_many_batches() -> None:
    rng, met = np.random.default_rng(0), np.zeros(4)
    share, found = SHARE / SHARE.sum(), np.zeros(4)
    for _ in range(4000):
        columns = batch_columns(rng.choice(4, 3, p=share), share, 2, rng)
        present = columns.items[: columns.used]
        met[present] += columns.times[: columns.used]
        found[present] = columns.probability[: columns.used]
    assert met / met.sum() == pytest.approx(found, abs=0.01)


def test_one_column_for_n_is_the_same_loss() -> None:
    rng = np.random.default_rng(0)
    items, share = rng.integers(0, 6, 20), rng.dirichlet(np.ones(9)).astype(np.float32)
    by_item = rng.uniform(-1, 1, (20, 9)).astype(np.float32)
    likes = rng.random((20, 9)) < 0.2
    likes[np.arange(20), items] = True
    columns = batch_columns(items, share, 0, None)
    excluded = likes[:, columns.items]
    excluded[:, columns.used :] = True
    own = np.arange(20, dtype=np.int32)
    for loss in (linear_loss, partial(softmax_loss, temperature=0.3)):
        own_column = columns.own.astype(np.int32)
        merged = loss(by_item[:, columns.items], own_column, excluded, columns.probability, columns.times)
        apart = loss(by_item[:, items], own, likes[:, items], share[items], np.ones(20, np.float32))
        assert np.asarray(merged) == pytest.approx(np.asarray(apart), rel=1e-4, abs=1e-5)


def test_batches_of_one_size_have_few_numbers_of_columns() -> None:
    rng, sizes = np.random.default_rng(0), set()
    for distinct in range(1, 100):
        columns = batch_columns(rng.integers(0, distinct, 64), np.full(100, 0.01, np.float32), 0, None)
        assert columns.used <= len(columns.items) <= min(64, columns.used + 7)
        sizes.add(len(columns.items))
    assert len(sizes) <= 8


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
    users = data.draw(st.lists(st.integers(0, len(rows) - 1), min_size=len(items), max_size=len(items)))
    columns = batch_columns(np.array(items), np.full(7, 1 / 7, np.float32), 0, None)
    found = no_negatives(np.array(users), columns, (history,))
    expected = [
        [n >= columns.used or item in rows[user] or item == own for n, item in enumerate(columns.items)]
        for user, own in zip(users, items, strict=True)
    ]
    assert found.tolist() == expected


@pytest.mark.parametrize("count", [0, 7, 1000])
def test_no_user_is_pushed_from_what_it_likes(task: Task, count: int) -> None:
    """Accidental hits are masked among the batch's columns and among those of the catalogue."""
    labels, rows = task.train["podcast"], np.arange(30)
    batch = training_batch(task.feed, labels, rows, with_negatives(task, count).settings, np.random.default_rng(0))
    excluded, own = batch.y["excluded"], batch.y["own"]
    liked = [set(labels.known.of(user).tolist()) for user in labels.users[rows]]
    number = {tuple(row): item for item, row in enumerate(task.feed.items["podcast"].whole.dense)}
    items = [number[tuple(row)] for row in batch.x["item"]["dense"]]
    fillers = excluded.all(axis=0) & (np.bincount(own, minlength=len(items)) == 0)
    used = int(len(items) - fillers.sum())
    assert not fillers[:used].any()
    assert len(set(items[:used])) == used
    assert {"0": len(set(labels.items[rows])), "1000": ITEMS["podcast"]}.get(str(count), used) == used
    assert excluded[:, :used].tolist() == [[item in mine for item in items[:used]] for mine in liked]
    assert [items[column] for column in own] == labels.items[rows].tolist()
    assert excluded[:, :used].sum() > 30  # there are accidental hits to be masked


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
        excluded = ((columns.items == user_likes) | (np.arange(len(columns.items)) >= columns.used))[None]
        own = columns.own[:1].astype(np.int32)
        with tf.GradientTape() as tape:
            tape.watch(drawn)
            loss = tf.reduce_sum(softmax_loss(drawn, own, excluded, probability, columns.times, 0.5))
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
