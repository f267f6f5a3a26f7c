"""Columns in files, and labels that are the same however many users are read at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_towers_feed import world_task
from towers_world import interactions, make_world

import graphkit.datasets.user_blocks
import towers.examples
import towers.labels
from graphkit.histories import History
from towers.epochs import Task
from towers.examples import write_examples
from towers.spool import Spool


@given(st.lists(st.lists(st.integers(-(2**31), 2**31 - 1), max_size=5), max_size=5))
@settings(deadline=None)
def test_a_spool_gives_back_what_was_appended(pieces: list[list[int]]) -> None:
    spool = Spool(np.int32)
    for piece in pieces:
        spool.append(np.array(piece, dtype=np.int64))
    array = spool.array()
    assert array.dtype == np.int32
    assert array.tolist() == [number for piece in pieces for number in piece]


def test_a_spool_is_a_file_without_a_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    spool = Spool(np.int64)
    spool.append(np.arange(1000))
    array = spool.array()
    assert isinstance(array, np.memmap)
    assert not array.flags.writeable
    assert list(tmp_path.iterdir()) == []
    assert array.sum() == 499_500


def parts_of(history: History) -> tuple[np.ndarray, ...]:
    return (history.indptr, history.items) if history.weights is None else (*vars(history).values(),)


def columns_of(task: Task) -> list:
    found = [part.tolist() for history in task.feed.users.histories.values() for part in parts_of(history)]
    for side in (task.train, task.validation):
        for labels in side.values():
            assert isinstance(labels.users, np.memmap) or not len(labels)
            assert isinstance(labels.known.items, np.memmap)
            histories = [part for history in labels.liked for part in (history.indptr, history.items)]
            columns = (labels.users, labels.items, labels.times, labels.weak, *histories)
            found += [None if column is None else np.asarray(column).tolist() for column in columns]
    return found


@pytest.mark.parametrize("timed", [True, False])
def test_labels_do_not_depend_on_how_many_users_are_read_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, timed: bool
) -> None:
    workspace = make_world(tmp_path, timed)
    sets = ("towers.weak_weight=0.5",)
    whole = columns_of(world_task(workspace, *sets))
    for rows in (1, 100):  # a user at a time; a few
        monkeypatch.setattr(graphkit.datasets.user_blocks, "_ROWS", rows)
        monkeypatch.setattr(towers.labels, "_BLOCK", 7)
        assert columns_of(world_task(workspace, *sets)) == whole
    assert sum(len(column) for column in whole if column) > interactions(timed).height / 2


def test_examples_do_not_depend_on_how_many_are_written_together(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = world_task(make_world(tmp_path, timed=False))
    write_examples(tmp_path / "whole.parquet", task, None)
    monkeypatch.setattr(towers.examples, "_BLOCK", 10)
    write_examples(tmp_path / "blocks.parquet", task, None)
    assert (tmp_path / "whole.parquet").read_bytes() == (tmp_path / "blocks.parquet").read_bytes()
    table = pl.read_parquet(tmp_path / "blocks.parquet")
    assert table.height == sum(len(side) for sides in (task.train, task.validation) for side in sides.values())
    assert table.select("item_type", "user", "item").is_unique().all()
