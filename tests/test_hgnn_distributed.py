"""Two processes that train one model together: the same result as one, one writer, and an end for all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch

from graphkit.artefacts import Batch, Workspace
from graphkit.config import Config, load_config
from graphkit.hgnn.train import train_hgnn
from graphkit.training.distributed import ALONE, Team, team_of_environment
from graphkit.vectors import load_vectors
from tests.hgnn_graphs import write_graph_batch

ROOT = Path(__file__).resolve().parents[1]
SETS = (
    "hgnn.hidden_dim=12", "hgnn.out_dim=8", "hgnn.fan_outs=[4,3]", "hgnn.batch_size=64", "hgnn.negatives=16",
    "hgnn.epochs=3", "hgnn.schedule=cosine", "hgnn.clip_norm=0.05", "run.threads=1", "hgnn.device=cpu",
    "hgnn.neighbours=torch",
    # Whatever is drawn, every process must draw the same.
    "hgnn.id_embeddings=true", "hgnn.batch_negatives=8", "hgnn.hard_negatives=4",
)  # fmt: skip
WORDS = [word for setting in SETS for word in ("--set", setting)]


def settings() -> Config:
    return load_config("default", SETS)


def launched(*program: str | Path) -> subprocess.CompletedProcess[str]:
    """Run a Python program in two processes, as the README says."""
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "default", "CUDA_VISIBLE_DEVICES": ""}
    return subprocess.run(
        [*launcher, *map(str, program)],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
        env=environment,
        timeout=300,
    )


def stage(root: Path) -> tuple[str | Path, ...]:
    return ("-m", "cli", "train-hgnn", "-w", root, "--json", *WORDS)


def current(root: Path) -> Batch:
    return Workspace(root).current("hgnn")


def log_of(batch: Batch) -> dict:
    return json.loads(batch.path("training.json").read_text())


@pytest.fixture(scope="module")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    root, threads = tmp_path_factory.mktemp("one"), torch.get_num_threads()
    write_graph_batch(root, settings())
    batch = train_hgnn(Workspace(root), settings())
    torch.set_num_threads(threads)
    return batch


def same_result(two: Batch, one: Batch) -> None:
    vectors, expected = (load_vectors(batch.path("embeddings.safetensors")) for batch in (two, one))
    assert vectors.keys() == expected.keys()
    for name, z in vectors.items():
        np.testing.assert_allclose(z, expected[name], atol=1e-4)
    for record, like in zip(log_of(two)["epochs"], log_of(one)["epochs"], strict=True):
        assert record["loss"] == pytest.approx(like["loss"], rel=1e-4)
        assert record["grad_norm"] == pytest.approx(like["grad_norm"], rel=1e-3)
        assert {k: record[k] for k in ("edges", "coverage", "learning_rate")} == {
            k: like[k] for k in ("edges", "coverage", "learning_rate")
        }


def test_two_processes_give_the_result_of_one(tmp_path: Path, one_process: Batch) -> None:
    write_graph_batch(tmp_path, settings())
    done = launched(*stage(tmp_path))
    assert done.returncode == 0, done.stderr
    batch = current(tmp_path)
    assert json.loads(done.stdout)["batch_id"] == batch.id == one_process.id  # printed once
    assert done.stderr.count("training the HGNN") == 1
    assert "2 processes" in done.stderr
    assert batch.manifest.metrics["processes"] == 2
    same_result(batch, one_process)
    again = launched(*stage(tmp_path))
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["batch_id"] == batch.id
    assert "training the HGNN" not in again.stderr


#: Runs the stage after ``{patch}``, whose names are those of the loop and of the process.
PROGRAM = """
import os, sys
from pathlib import Path
sys.path.insert(0, {root!r})
import torch
from cli import main
from graphkit.errors import GraphkitError
from graphkit.hgnn import fit, objective
from graphkit.hgnn.step import Step
rank, real = int(os.environ["RANK"]), Step.take

{patch}
main(["train-hgnn", "-w", sys.argv[1], *{words!r}])
"""


def program(folder: Path, patch: str) -> Path:
    path = folder / "program.py"
    path.write_text(PROGRAM.format(root=str(ROOT), patch=textwrap.dedent(patch), words=WORDS))
    return path


def test_every_process_does_its_share_and_the_leader_alone_writes(tmp_path: Path, one_process: Batch) -> None:
    """Each computes a part of the loss, none all of it; a run that dies in epoch 2 goes on to the same result."""
    write_graph_batch(tmp_path, settings())
    done = launched(
        program(
            tmp_path,
            """
            from graphkit.training.gradients import FlatGradients
            from graphkit.progress import say
            compute, saved = FlatGradients.compute, fit.TrainingState.save

            def computing(self, loss):
                global own
                own = float(loss)
                compute(self, loss)

            def taking(self, *rest):
                loss, norm = real(self, *rest)
                assert 0.2 < own / loss < 0.8, (own, loss)
                say(f"news from {rank}")
                if rest[-2:] == (2, 3):
                    raise GraphkitError(f"process {rank} of {self.team.world} stops here")
                return loss, norm

            def saving(self, folder):
                print("saved by", rank, flush=True)
                saved(self, folder)

            FlatGradients.compute, Step.take, fit.TrainingState.save = computing, taking, saving
            """,
        ),
        tmp_path,
    )
    assert done.returncode != 0
    assert "stops here" in done.stderr, done.stderr
    assert done.stdout.split("\n")[:-1] == ["saved by 0"]
    assert "news from 0" in done.stderr
    assert "news from 1" not in done.stderr
    resumed = launched(*stage(tmp_path))
    assert resumed.returncode == 0, resumed.stderr
    same_result(current(tmp_path), one_process)


def test_a_leader_that_fails_ends_all(tmp_path: Path) -> None:
    write_graph_batch(tmp_path, settings())
    patch = """
    def taking(self, *rest):
        if rank == 0 and rest[-2:] == (2, 1):
            raise GraphkitError("this one failed")
        return real(self, *rest)

    Step.take = taking
    """
    done = launched(program(tmp_path, patch), tmp_path)
    assert done.returncode != 0
    assert "error: this one failed" in done.stderr
    assert not Workspace(tmp_path).has("hgnn")


def test_a_loss_that_is_no_number_in_one_process_stops_all_at_the_same_batch(tmp_path: Path) -> None:
    write_graph_batch(tmp_path, settings())
    patch = """
    loss = objective.Objective.loss

    def poisoned(self, *rest):
        return loss(self, *rest) * (float("nan") if rank == 1 else 1)

    objective.Objective.loss = poisoned
    """
    done = launched(program(tmp_path, patch), tmp_path)
    assert done.returncode != 0
    assert "loss became nan in epoch 1, batch 1" in done.stderr
    assert len(list(tmp_path.glob("hgnn/.partial-*/checkpoint/failed-batch.safetensors"))) == 1


def test_other_weights_in_one_process_are_noticed(tmp_path: Path) -> None:
    write_graph_batch(tmp_path, settings())
    patch = """
    start = fit.Fit._start

    def other(self, linked):
        state = start(self, linked)
        with torch.no_grad():
            next(state.model.parameters())[0, 0] += rank
        return state

    fit.Fit._start = other
    """
    done = launched(program(tmp_path, patch), tmp_path)
    assert done.returncode != 0
    assert "do not start from the same graph, settings and weights" in done.stderr


def test_the_team_is_what_the_launcher_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    assert team_of_environment() == ALONE
    launcher = {"RANK": "5", "WORLD_SIZE": "8", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "4"}
    for name, value in launcher.items():
        monkeypatch.setenv(name, value)
    assert team_of_environment() == ALONE  # a batch system's variables alone are no launcher
    monkeypatch.setenv("MASTER_ADDR", "host")
    monkeypatch.setenv("MASTER_PORT", "1234")
    assert team_of_environment() == Team(5, 8, 1, 4)
    assert (Team(0, 8).leads, Team(5, 8).leads, ALONE.leads) == (True, False, True)
