"""What the towers are trained on: labels, users held out, item probabilities, item features."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from towers_world import CUTOFF, LABEL_START, frame, make_world, write_dataset

from graphkit.artefacts import Workspace
from graphkit.config.towers import TowersSection
from graphkit.datasets.store import Dataset
from graphkit.errors import InputError
from graphkit.histories import History
from towers.item_features import item_features
from towers.labels import Labels, item_probability, read_labels, split_users
from towers.user_spec import categorical_table, feature_spec


def listened(user: int, item: int, days: float | None, signal: str = "stream", split: str = "train") -> dict:
    timestamp = None if days is None else CUTOFF - timedelta(days=days)
    return {
        "user": user, "item_type": "podcast", "item": item, "signal": signal, "timestamp": timestamp, "split": split
    }  # fmt: skip


def pairs(labels: Labels) -> list[tuple[int, int]]:
    return list(zip(labels.users.tolist(), labels.items.tolist(), strict=True))


def make_labels(users: list[int], items: list[int], num_users: int = 4) -> Labels:
    known = History(np.searchsorted(users, np.arange(num_users + 1)), np.array(items, dtype=np.int32))
    return Labels("podcast", np.array(users), np.array(items), known)


def test_labels_are_the_distinct_strong_pairs_of_the_label_period(tmp_path: Path) -> None:
    at_start = (CUTOFF - LABEL_START).days
    rows = [
        listened(3, 1, 2), listened(3, 1, 1), listened(3, 0, 1), listened(2, 7, 3, "follow"),
        listened(1, 4, at_start), listened(1, 5, at_start + 0.001), listened(0, 8, 0),
        listened(0, 6, 0, split="test"),
    ]  # fmt: skip
    labels = read_labels(Dataset.open(write_dataset(Workspace(tmp_path), frame(rows))), "podcast")
    assert pairs(labels) == [(1, 4), (3, 0), (3, 1)]
    assert [labels.known.of(user).tolist() for user in range(4)] == [[], [4, 5], [], [0, 1]]


def test_what_a_user_listened_to_before_is_no_label_but_a_weak_signal_before_does_not_matter(tmp_path: Path) -> None:
    before = (CUTOFF - LABEL_START).days + 5
    rows = [
        listened(1, 4, before), listened(1, 4, 1), listened(1, 6, before, "follow"), listened(1, 6, 1),
        listened(2, 4, 1),
    ]  # fmt: skip
    labels = read_labels(Dataset.open(write_dataset(Workspace(tmp_path), frame(rows))), "podcast")
    assert pairs(labels) == [(1, 6), (2, 4)]


def test_without_timestamps_all_of_train_are_labels(tmp_path: Path) -> None:
    rows = [listened(0, 1, None), listened(0, 1, None), listened(1, 2, None), listened(1, 3, None, split="test")]
    labels = read_labels(Dataset.open(write_dataset(Workspace(tmp_path), frame(rows), timed=False)), "podcast")
    assert pairs(labels) == [(0, 1), (1, 2)]


def test_weak_signals_make_labels_of_what_no_strong_one_made(tmp_path: Path) -> None:
    before = (CUTOFF - LABEL_START).days + 5
    rows = [
        listened(1, 4, 1), listened(1, 6, 1, "follow"), listened(1, 6, 2, "follow"),
        # streamed too, later or long before; followed before; after the cut-off: no weak labels
        listened(1, 7, 3, "follow"), listened(1, 7, 1), listened(2, 8, before), listened(2, 8, 1, "follow"),
        listened(2, 9, before, "follow"), listened(2, 9, 1, "follow"), listened(2, 3, 0, "follow", "test"),
    ]  # fmt: skip
    dataset = Dataset.open(write_dataset(Workspace(tmp_path), frame(rows)))
    labels = read_labels(dataset, "podcast", weak=True)
    assert pairs(labels) == [(1, 4), (1, 6), (1, 7)]
    assert labels.weak.tolist() == [False, True, False]
    assert [(CUTOFF.timestamp() * 1000 - time) / 86_400_000 for time in labels.times.tolist()] == [1, 2, 1]
    assert [labels.spared.of(user).tolist() for user in (1, 2)] == [[6, 7], [8, 9]]
    assert [labels.known.of(user).tolist() for user in (1, 2)] == [[4, 7], [8]]
    strong = read_labels(dataset, "podcast")
    assert pairs(labels.strong()) == pairs(strong) == [(1, 4), (1, 7)]
    assert strong.weak is strong.spared is labels.strong().weak is None
    assert labels.strong().times.tolist() == strong.times.tolist()


def test_without_timestamps_every_weak_pair_that_is_not_strong_is_a_weak_label(tmp_path: Path) -> None:
    rows = [listened(0, 1, None), listened(0, 1, None, "follow"), listened(0, 2, None, "follow")]
    dataset = Dataset.open(write_dataset(Workspace(tmp_path), frame(rows), timed=False))
    labels = read_labels(dataset, "podcast", weak=True)
    assert pairs(labels) == [(0, 1), (0, 2)]
    assert labels.weak.tolist() == [False, True]
    assert labels.times is None


@pytest.mark.parametrize("timed", [True, False])
def test_a_type_without_labels_is_named_with_its_window(tmp_path: Path, timed: bool) -> None:
    rows = [listened(0, 1, 60 if timed else None)]
    dataset = Dataset.open(write_dataset(Workspace(tmp_path), frame(rows), timed=timed))
    with pytest.raises(InputError) as error:
        read_labels(dataset, "audiobook")
    assert "'audiobook'" in str(error.value)
    assert ("2024-05-18" if timed else "train rows") in str(error.value)
    assert ("split.label_days" if timed else "dataset.targets") in str(error.value)


def test_users_are_held_out_by_seed() -> None:
    labels = {"podcast": make_labels(list(range(0, 40)), [0] * 40, 50)}
    chosen = split_users(labels, 50, 0.1, seed=1)
    assert chosen.sum() == 4
    assert not chosen[40:].any()
    assert (chosen == split_users(labels, 50, 0.1, seed=1)).all()
    assert (chosen != split_users(labels, 50, 0.1, seed=2)).any()
    assert split_users(labels, 50, 0.0, seed=1).sum() == 0


def test_every_type_keeps_a_training_user() -> None:
    labels = {"podcast": make_labels([0, 1, 2, 3], [0] * 4), "audiobook": make_labels([3], [0])}
    for seed in range(10):
        chosen = split_users(labels, 4, 0.75, seed)
        assert not chosen[3]
        assert chosen.any()


def test_one_user_is_refused() -> None:
    with pytest.raises(InputError, match="one user"):
        split_users({"podcast": make_labels([2, 2], [0, 1])}, 4, 0.1, seed=0)


def test_item_probability_is_the_share_of_examples() -> None:
    found = item_probability(make_labels([0, 1, 2, 3], [2, 2, 0, 2]), num_items=4)
    assert found.tolist() == [0.25, 0.25, 0.75, 0.25]


def test_item_features_by_hand() -> None:
    items = pl.DataFrame(
        {
            "item": [0, 1, 2, 3],
            "language": ["sv", "en", "sv", None],
            "genre": ["crime|poetry", " crime", None, "poetry|unique"],
            "creator": ["Ann", "Bo", "Ann", "Ann"],
        }
    )
    text = np.arange(8, dtype=np.float32).reshape(4, 2)
    embedding = np.arange(4, dtype=np.float32).reshape(4, 1)
    features = item_features(items, text, embedding, embedding[:, :0], TowersSection(max_creators=9, max_genres=9))
    assert features.spec.categorical == {"language": ("sv",), "creator": ("Ann",)}
    assert features.spec.genres == ("crime", "poetry")
    dense, categorical, genres = features.inputs(np.array([3, 0, 1, 2]))
    assert dense.tolist() == [[6, 7, 3], [0, 1, 0], [2, 3, 1], [4, 5, 2]]
    assert categorical.tolist() == [[0, 1], [1, 1], [0, 0], [1, 1]]
    assert genres.tolist() == [[0, 0, 1], [0, 0.5, 0.5], [0, 1, 0], [1, 0, 0]]


def test_vocabularies_keep_the_commonest_values() -> None:
    column = ["c"] * 2 + ["b"] * 3 + ["a"] * 2
    items = pl.DataFrame({"language": column, "genre": column, "creator": column})
    zeros = np.zeros((7, 1), dtype=np.float32)
    spec = item_features(items, zeros, zeros, zeros[:, :0], TowersSection(max_creators=2, max_genres=1)).spec
    assert spec.categorical["creator"] == ("a", "b")
    assert spec.genres == ("b",)


def test_the_feature_spec_names_what_the_dataset_has(tmp_path: Path) -> None:
    dataset = Dataset.current(make_world(tmp_path))
    spec = feature_spec(dataset, 8, TowersSection())
    assert [pool.name for pool in spec.pools] == [
        "audiobook/strong", "audiobook/weak", "podcast/strong", "podcast/weak"
    ]  # fmt: skip
    assert spec.categorical == {"country": ("DE", "SE"), "age": tuple("01234567")}
    table = categorical_table(spec, dataset.users())
    assert table[:3].tolist() == [[0, 0], [1, 1], [2, 1]]
    rare = dataset.users().with_columns(country=pl.lit("Atlantis"), age=pl.lit(None, pl.Int16))
    assert categorical_table(spec, rare).max() == 0
