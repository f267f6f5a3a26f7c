"""The item towers' log counts: of the days before the moment, in training and in serving."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from towers_world import ITEMS, make_world, quick_config

from graphkit.datasets.popularity import users_met
from graphkit.datasets.store import Dataset
from graphkit.errors import InputError
from towers.fit import train_towers
from towers.infer import item_vectors
from towers.popularity import popularity_inputs
from towers.sources import Sources, read_sources
from towers.two_tower import item_tower

DAYS = (5, 40)


def sources_of(root: Path, *sets: str) -> Sources:
    return read_sources(make_world(root).upstream("towers"), quick_config(*sets).towers)


def counted(dataset: Dataset, end: object, days: int) -> list[int]:
    """Users of each podcast, one pass over the rows."""
    users: list[set[int]] = [set() for _ in range(ITEMS["podcast"])]
    for row in dataset.interactions("train").collect().iter_rows(named=True):
        met = row["item_type"] == "podcast" and row["signal"] in dataset.meta.strong
        if met and end - timedelta(days=days) <= row["timestamp"] < end:
            users[row["item"]].add(row["user"])
    return [len(found) for found in users]


def test_each_snapshot_counts_the_users_of_the_days_before_it(tmp_path: Path) -> None:
    sources = sources_of(tmp_path, f"towers.popularity_days={list(DAYS)}")
    dataset, meta = sources.dataset, sources.dataset.meta
    fit, serve = sources.items["podcast"], sources.serving_items()["podcast"]
    for items, end in ((fit, meta.label_start), (serve, meta.cutoff)):
        expected = np.log1p([counted(dataset, end, days) for days in DAYS]).T
        assert len(np.unique(expected)) > 2
        np.testing.assert_allclose(items.inputs(np.arange(ITEMS["podcast"])).dense[:, -2:], expected, rtol=1e-6)
    assert not np.array_equal(fit.popularity, serve.popularity)


def test_an_item_whose_embedding_is_hidden_keeps_its_counts(tmp_path: Path) -> None:
    items = sources_of(tmp_path, "towers.popularity_days=[40]").items["podcast"]
    shown, hidden = items.whole.dense, items.without_embedding(items.whole, np.ones(items.num_items, bool)).dense
    spec = items.spec
    assert not hidden[:, spec.text_dim : -1].any()
    np.testing.assert_array_equal(hidden[:, -1], shown[:, -1])
    np.testing.assert_array_equal(hidden[:, : spec.text_dim], shown[:, : spec.text_dim])
    assert shown[:, -1].any()


def test_the_item_tower_reads_them(tmp_path: Path) -> None:
    items = sources_of(tmp_path, "towers.popularity_days=[40]").items["podcast"]
    tower = item_tower("podcast", items.spec, quick_config().towers)
    more = items.as_of(items.embedding, items.popularity + 1)
    plain, popular = (item_vectors(tower, one) for one in (items, more))
    assert (np.abs(plain - popular).max(axis=1) > 1e-3).all()


def test_without_timestamps_they_would_know_the_labels(tmp_path: Path) -> None:
    workspace = make_world(tmp_path, timed=False)
    with pytest.raises(InputError, match=r"popularity_days = \[30\]"):
        train_towers(workspace, quick_config("towers.popularity_days=[30]"))
    dataset = Dataset.current(workspace)
    assert popularity_inputs(dataset, "podcast", None, ()).shape == (ITEMS["podcast"], 0)
    rows = dataset.interactions("train").filter(item_type="podcast", signal="stream").collect()
    expected = rows.group_by("item").agg(pl.col("user").n_unique()).sort("item")["user"].to_list()
    assert [count for count in users_met(dataset, "podcast", None, 1).tolist() if count] == expected
