"""Two processes that train one encoder: every process's users are negatives of all, and the result is that of one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import towers_world as world

from graphkit.artefacts import Batch, Workspace
from graphkit.config import load_config
from graphkit.vectors import load_vectors
from towers import train_encoder

ROOT = Path(__file__).resolve().parents[1]


def sets(name: str) -> list[str]:
    """Dropout is drawn in each process for itself: without it the processes compute what one does."""
    quick = ("dim=8", "heads=2", "layers=1", "batch_size=16", "epochs=2", "dropout=0", "device=cpu", "clip_norm=0.5")
    return ["run.threads=1", *(f"{name}.{setting}" for setting in quick)]


def launched(*words: str | Path) -> subprocess.CompletedProcess[str]:
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [*launcher, "-m", "cli", *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=environment,
        timeout=300,
    )


def losses(batch: Batch) -> list[list[float]]:
    epochs = json.loads(batch.path("training.json").read_text())["epochs"]
    return [[epoch[name] for name in ("loss", "val_loss", "grad_norm")] for epoch in epochs]


@pytest.mark.parametrize("name", ["clue", "simclr", "shopperbert"])
def test_two_processes_give_the_result_of_one(name: str, tmp_path: Path) -> None:
    one = train_encoder(world.make_world(tmp_path / "one"), load_config("default", sets(name)), name)
    workspace = world.make_world(tmp_path / "two")
    words = [word for text in sets(name) for word in ("--set", text)]
    done = launched("train-encoder", name, "-w", workspace.root, "--json", *words)
    assert done.returncode == 0, done.stderr
    two = Workspace(workspace.root).current(name)
    assert json.loads(done.stdout)["batch_id"] == two.id == one.id  # printed once
    assert two.manifest.metrics["processes"] == 2
    assert done.stderr.count(f"training {name}") == 1
    np.testing.assert_allclose(losses(two), losses(one), rtol=1e-4)
    vectors, expected = (load_vectors(batch.path("user_vectors.safetensors")) for batch in (two, one))
    for key, matrix in vectors.items():
        np.testing.assert_allclose(matrix, expected[key], atol=2e-3)
