"""From histories to the user tower's inputs, and from a dataset to histories."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from towers_world import CUTOFF, frame, make_world, write_dataset

from graphkit.artefacts import Workspace
from graphkit.datasets.histories import read_histories
from graphkit.datasets.store import Dataset
from graphkit.histories import History, Pool, load_histories, save_histories
from graphkit.user_features import FeatureSpec, UserFeatures, mean_pool

A, AW, B = Pool("a", "strong"), Pool("a", "weak"), Pool("b", "strong")
SPEC = FeatureSpec(pools=(A, AW, B), embedding_dim=2, categorical={"country": ("DE", "SE")})


def history(*items: list[int]) -> History:
    return History(
        np.cumsum([0, *map(len, items)]).astype(np.int64), np.array([i for row in items for i in row], np.int32)
    )


def features(vectors_of_a: list[list[float]] | None = None) -> UserFeatures:
    return UserFeatures(
        SPEC,
        {A: history([0, 1], [2], []), AW: history([1], [], []), B: history([0], [], [])},
        {
            "a": np.array(vectors_of_a or [[1, 0], [3, 4], [5, 6]], dtype=np.float32),
            "b": np.array([[9, 8]], dtype=np.float32),
        },
        np.array([[1], [2], [0]], dtype=np.int32),
    )


def test_inputs_by_hand() -> None:
    one, two = np.log(2), np.log(3)
    pooled, categorical, vectors = features().inputs(np.array([2, 0, 1]))
    expected = [[0] * 9, [2, 2, two, 3, 4, one, 9, 8, one], [5, 6, one, 0, 0, 0, 0, 0, 0]]
    np.testing.assert_allclose(pooled, expected, rtol=1e-6)
    assert pooled.dtype == np.float32
    assert pooled.shape[1] == SPEC.pooled_dim
    assert categorical.tolist() == [[0], [1], [2]]
    assert vectors.shape == (3, 0)


def test_a_pool_without_its_count_is_the_mean_alone() -> None:
    users = np.array([2, 0, 1])
    spec = SPEC.model_copy(update={"counts": False})
    pooled, categorical, _ = replace(features(), spec=spec).inputs(users)
    assert pooled.tolist() == [[0] * 6, [2, 2, 3, 4, 9, 8], [5, 6, 0, 0, 0, 0]]
    assert spec.pooled_dim == 6
    assert categorical.tolist() == [[0], [1], [2]]


def test_only_the_pools_of_the_spec_are_pooled_and_counted() -> None:
    users = np.array([0, 1, 2])
    some = replace(features(), spec=SPEC.model_copy(update={"pools": (AW, B)}))
    np.testing.assert_array_equal(some.inputs(users).pooled, features().inputs(users).pooled[:, 3:])
    assert some.pooled_items(users).tolist() == [2, 0, 0]
    assert features().pooled_items(users).tolist() == [4, 1, 0]
    none = replace(features(), spec=SPEC.model_copy(update={"pools": ()}))
    assert none.inputs(users).pooled.shape == (3, 0)
    assert none.pooled_items(users).tolist() == [0, 0, 0]


def test_a_hidden_item_leaves_no_trace() -> None:
    hide = ("a", np.array([1, 2]))
    before = features().inputs(np.array([0, 1]), hide=hide).pooled
    after = features([[1, 0], [-7, 7], [70, 0]]).inputs(np.array([0, 1]), hide=hide).pooled
    assert before.tobytes() == after.tobytes()
    one = np.log(2)
    np.testing.assert_allclose(before, [[1, 0, one, 0, 0, 0, 9, 8, one], [0] * 9], rtol=1e-6)


def test_hiding_touches_only_its_own_row_and_type() -> None:
    plain = features().inputs(np.array([0, 1, 0])).pooled
    hidden = features().inputs(np.array([0, 1, 0]), hide=("a", np.array([9, 2, 9]))).pooled
    assert (hidden[[0, 2]] == plain[[0, 2]]).all()
    other = features().inputs(np.array([0]), hide=("b", np.array([1]))).pooled
    assert (other[0] == plain[0]).all()


def test_a_dropped_history_is_that_of_a_user_new_to_the_type() -> None:
    pooled = features().inputs(np.array([0, 0]), drop=("a", np.array([True, False]))).pooled
    np.testing.assert_allclose(pooled[0], [0] * 6 + [9, 8, np.log(2)], rtol=1e-6)
    assert (pooled[1] == features().inputs(np.array([0])).pooled[0]).all()


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 5), max_size=6), min_size=1, max_size=6), st.data())
def test_pairs_and_pools_agree_with_a_loop(rows: list[list[int]], data: st.DataObject) -> None:
    users = data.draw(st.lists(st.integers(0, len(rows) - 1), max_size=5))
    row, item = history(*rows).pairs(np.array(users, dtype=np.int64))
    assert list(zip(row.tolist(), item.tolist(), strict=True)) == [
        (k, i) for k, u in enumerate(users) for i in rows[u]
    ]
    vectors = np.random.default_rng(0).normal(size=(6, 3)).astype(np.float32)
    for few in (0, 100):  # by a sparse product, and by numpy alone
        with patch("graphkit.user_features._FEW_USERS", few):
            pooled = mean_pool(row, item, vectors, len(users))
        assert pooled.dtype == np.float32
        for k, user in enumerate(users):
            mean = vectors[rows[user]].mean(axis=0) if rows[user] else np.zeros(3)
            np.testing.assert_allclose(pooled[k], [*mean, np.log1p(len(rows[user]))], rtol=1e-4, atol=1e-6)


def test_encode_gives_unseen_and_missing_values_the_unknown_slot() -> None:
    assert SPEC.encode("country", ["SE", "FR", None, "DE"]).tolist() == [2, 0, 0, 1]
    nobody = FeatureSpec(pools=(), embedding_dim=1, categorical={"country": ("None",)})
    assert nobody.encode("country", [None, "None"]).tolist() == [0, 1]


def test_ages_fall_into_bins() -> None:
    spec = FeatureSpec(pools=(), embedding_dim=1, categorical={"age": tuple("01234567")})
    assert spec.encode("age", [17, 18, 24, 25, 64, 65, 99, None]).tolist() == [1, 2, 2, 3, 7, 8, 8, 0]


def test_histories_survive_a_file(tmp_path: Path) -> None:
    kept = features().histories
    save_histories(tmp_path / "h.safetensors", kept)
    again = load_histories(tmp_path / "h.safetensors")
    assert again.keys() == kept.keys()
    for pool in kept:
        assert again[pool].indptr.tolist() == kept[pool].indptr.tolist()
        assert again[pool].items.tolist() == kept[pool].items.tolist()


def listened(user: int, item: int, days: float | None, signal: str = "stream", split: str = "train") -> dict:
    timestamp = None if days is None else CUTOFF - timedelta(days=days)
    return {
        "user": user, "item_type": "podcast", "item": item, "signal": signal, "timestamp": timestamp, "split": split
    }  # fmt: skip


def podcast(dataset: Dataset, group: str = "strong", **options: object) -> list[list[int]]:
    found = read_histories(dataset, **options)[Pool("podcast", group)]  # type: ignore[arg-type]
    return [found.of(user).tolist() for user in range(3)]


@pytest.fixture
def timed(tmp_path: Path) -> Dataset:
    rows = [
        listened(0, 5, 30), listened(0, 6, 20), listened(0, 5, 10), listened(0, 7, 25), listened(0, 8, 15, "follow"),
        listened(1, 3, 0), listened(1, 4, 90), listened(1, 9, 90.001), listened(2, 1, 5, split="test"),
    ]  # fmt: skip
    return Dataset.open(write_dataset(Workspace(tmp_path), frame(rows)))


def test_histories_are_distinct_oldest_first_and_end_before_the_moment(timed: Dataset) -> None:
    assert podcast(timed, before=CUTOFF) == [[7, 6, 5], [9, 4], []]
    assert podcast(timed, before=CUTOFF + timedelta(days=1)) == [[7, 6, 5], [9, 4, 3], []]
    assert podcast(timed, before=CUTOFF - timedelta(days=10)) == [[5, 7, 6], [9, 4], []]
    assert podcast(timed, "weak", before=CUTOFF) == [[8], [], []]


def test_histories_keep_the_last_days_and_the_most_recent_items(timed: Dataset) -> None:
    assert podcast(timed, before=CUTOFF, days=90) == [[7, 6, 5], [4], []]
    assert podcast(timed, before=CUTOFF, max_items=2) == [[6, 5], [9, 4], []]


def test_a_cut_history_without_timestamps_favours_no_item(tmp_path: Path) -> None:
    rows = [listened(user, item, None) for user in range(50) for item in range(30)]
    dataset = Dataset.open(write_dataset(Workspace(tmp_path), frame(rows), timed=False))
    kept = read_histories(dataset, None, max_items=10)[Pool("podcast", "strong")]
    assert np.diff(kept.indptr)[:50].tolist() == [10] * 50
    times_kept = np.bincount(kept.items, minlength=30)
    # 500 places for 30 items: by item number, ten items would have all 50 each.
    assert times_kept.max() < 35
    assert times_kept.min() > 0


def test_test_rows_are_in_no_history(tmp_path: Path) -> None:
    workspace = make_world(tmp_path)
    dataset = Dataset.current(workspace)
    late = read_histories(dataset, CUTOFF + timedelta(days=99))
    early = read_histories(dataset, CUTOFF)
    assert all(late[pool].items.tolist() == early[pool].items.tolist() for pool in early)
