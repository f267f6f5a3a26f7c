"""What TensorBoard would read of a training: TensorFlow's own reader finds the curves of ``training.json``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from towers_world import make_world, quick_config

from towers.event_log import EventLog
from towers.fit import train_towers


def events(folder: Path) -> list:
    """The events of every file, by TensorFlow, which refuses a record whose checksum is wrong."""
    import tensorflow as tf
    from tensorflow.core.util.event_pb2 import Event

    files = sorted(map(str, folder.glob("events.out.tfevents.*")))
    return [Event.FromString(record.numpy()) for record in tf.data.TFRecordDataset(files)]


def scalars(folder: Path) -> dict[tuple[int, str], float]:
    return {(event.step, value.tag): value.simple_value for event in events(folder) for value in event.summary.value}


def test_tensorflow_reads_what_was_logged(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "logs")
    log.add(1, {"loss": 0.5, "epoch": 1, "note": "text", "cells": {"book/warm": 0.25, "book/cold": -1e-9}})
    log.add(300, {"loss": 1e30})
    found = events(tmp_path / "logs")
    assert found[0].file_version == "brain.Event:2"
    assert scalars(tmp_path / "logs") == pytest.approx(
        {
            (1, "loss"): 0.5, (1, "epoch"): 1, (1, "cells/book/warm"): 0.25, (1, "cells/book/cold"): -1e-9,
            (300, "loss"): 1e30,
        }
    )  # fmt: skip
    assert found[0].wall_time <= found[1].wall_time <= found[2].wall_time
    assert found[0].wall_time > 1.7e9


def test_a_training_logs_its_curves_outside_of_its_batch(tmp_path: Path) -> None:
    plain = train_towers(make_world(tmp_path / "plain"), quick_config("towers.epochs=2"))
    logged = train_towers(
        make_world(tmp_path / "logged"), quick_config("towers.epochs=2", f"towers.tensorboard={tmp_path / 'logs'}")
    )
    assert logged.id == plain.id
    assert logged.content_hash == plain.content_hash
    found = scalars(tmp_path / "logs" / logged.id)
    epochs = json.loads(logged.path("training.json").read_text())["epochs"]
    for epoch in epochs:
        assert found[epoch["epoch"], "val_ndcg"] == pytest.approx(epoch["val_ndcg"], rel=1e-6)
        assert found[epoch["epoch"], "loss"] == pytest.approx(epoch["loss"], rel=1e-6)
        for cell, figure in epoch["val_ndcg_cells"].items():
            assert found[epoch["epoch"], f"val_ndcg_cells/{cell}"] == pytest.approx(figure, rel=1e-6)
    assert {step for step, _ in found} == {0, 1, 2} - {0}
