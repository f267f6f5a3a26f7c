"""Encoders through the command line, chained as a user would."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from click.testing import Result
from conftest import TINY_RUN, graphkit_process

from graphkit.artefacts import Workspace

Cli = Callable[..., Result]
SETS = [word for word in TINY_RUN if word not in ("run", "--sample")]
QUICK = ("train-encoder", "autoencoder", *SETS, "--set", "autoencoder.epochs=2", "--set", "autoencoder.out_dim=12")


def test_train_encoder_then_train_towers(own_chain: Path, graphkit: Cli) -> None:
    planned = json.loads(graphkit(*QUICK, "-w", own_chain, "--dry-run", "--json").output)
    assert [(row["stage"], row["state"], row["reads"]) for row in planned] == [
        ("autoencoder", "to do", "dataset, graph, hgnn")
    ]
    made = graphkit_process(*QUICK, "-w", own_chain, "--json")
    assert made.returncode == 0, made.stderr
    printed = json.loads(made.stdout)
    assert printed["fresh"]
    assert printed["row_counts"]["users"] == 400
    assert printed["row_counts"]["baskets"] > 400
    table = pl.read_parquet(Path(printed["folder"]) / "user_vectors.parquet")
    assert np.stack(table["vector"].to_list()).shape == (400, 12)
    assert not json.loads(graphkit(*QUICK, "-w", own_chain, "--json").output)["fresh"]
    rows = {row["stage"]: row for row in json.loads(graphkit("batches", "-w", own_chain, "--json").output)}
    assert rows["autoencoder"]["stale"] == "no"
    assert rows["autoencoder"]["space"] == printed["space_id"]
    words = (*SETS, "--set", 'towers.user_vectors=["autoencoder"]', "-w", own_chain, "--json")
    towers = graphkit_process("train-towers", *words)
    assert towers.returncode == 0, towers.stderr
    assert json.loads(towers.stdout)["upstream"]["autoencoder"] == Workspace(own_chain).current("autoencoder").id


def test_an_unknown_encoder_is_named(tmp_path: Path, graphkit: Cli) -> None:
    done = graphkit("train-encoder", "autoencoders", "-w", tmp_path)
    assert done.exit_code == 2
    assert "autoencoder" in done.output
    done = graphkit("train-encoder", "autoencoder", "-w", tmp_path)
    assert done.exit_code == 2
    assert "graphkit sample" in done.output
