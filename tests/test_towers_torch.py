"""The same towers under Keras's torch back end: in one process, and in two that train together."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from test_towers_fit import TESTS
from towers_world import NUM_USERS, QUICK, make_world, quick_config

from graphkit import weigh_edges
from graphkit.artefacts import Batch, Workspace
from graphkit.vectors import load_vectors
from towers.export import export_bundle
from towers.fit import train_towers

ROOT = TESTS.parent
#: Every draw that processes share, and no dropout of a layer's own.
SETS = (
    *QUICK, "towers.precision=float32", "towers.catalogue_negatives=10", "towers.item_dropout=0.2",
    "towers.batch_size=31",
)  # fmt: skip
WORDS = [word for setting in SETS for word in ("--set", setting)]
LAUNCHER = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")


def run(*words: str | Path, back_end: str = "torch", launcher: tuple[str, ...] = ()) -> subprocess.CompletedProcess:
    environment = os.environ | {
        "KERAS_BACKEND": back_end, "PYTHONPATH": str(ROOT), "CUDA_VISIBLE_DEVICES": "", "PYTHONWARNINGS": "default"
    }  # fmt: skip
    command = [sys.executable, *launcher, *map(str, words)]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, env=environment, timeout=600
    )


def stage(root: Path) -> tuple[str | Path, ...]:
    return ("-m", "cli", "train-towers", "-w", root, "--json", *WORDS)


def epochs_of(batch: Batch) -> list[dict]:
    return json.loads(batch.path("training.json").read_text())["epochs"]


@pytest.fixture(scope="module")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    root = tmp_path_factory.mktemp("torch")
    make_world(root)
    done = run(*stage(root))
    assert done.returncode == 0, done.stderr
    return Workspace(root).current("towers")


def test_torch_learns_what_tensorflow_does(one_process: Batch, tmp_path: Path) -> None:
    """The first weights differ, for each back end has its own generator; what is learned does not."""
    tensorflow = train_towers(make_world(tmp_path), quick_config(*SETS))
    assert (one_process.manifest.metrics["back_end"], tensorflow.manifest.metrics["back_end"]) == (
        "torch",
        "tensorflow",
    )
    assert one_process.id == tensorflow.id
    for torch, like in zip(epochs_of(one_process), epochs_of(tensorflow), strict=True):
        assert torch["loss"] == pytest.approx(like["loss"], rel=0.1)
        assert torch.keys() == like.keys()
    items = load_vectors(one_process.path("item_vectors.safetensors"))["podcast"]
    users = load_vectors(one_process.path("user_vectors.safetensors"))["user"]
    own = (np.arange(1, NUM_USERS)[:, None] + np.arange(len(items))) % 2 == 0
    scores = users[1:] @ items.T
    assert scores[own].mean() > scores[~own].mean() + 0.2


def test_one_step_from_the_same_weights_is_the_same(tmp_path: Path) -> None:
    """Weights after one step of either back end, from weights that numpy drew."""
    found = {}
    for back_end in ("torch", "tensorflow"):
        make_world(tmp_path / back_end)
        done = run("-c", _ONE_STEP, tmp_path / back_end, tmp_path / f"{back_end}.npz", *SETS, back_end=back_end)
        assert done.returncode == 0, done.stderr
        found[back_end] = dict(np.load(tmp_path / f"{back_end}.npz"))
    assert found["torch"].keys() == found["tensorflow"].keys()
    for name, values in found["torch"].items():
        np.testing.assert_allclose(values, found["tensorflow"][name], atol=2e-4, err_msg=name)


_ONE_STEP = """
import sys
from pathlib import Path
sys.path.insert(0, "tests")
import numpy as np
from test_towers_feed import world_task
from graphkit.artefacts import Workspace
from towers.backend import prepare, to_numpy
from towers.epochs import build_towers
from towers.feed import training_batch
prepare(0, 1)
task = world_task(Workspace(Path(sys.argv[1])), *sys.argv[3:])
towers, rng = build_towers(task), np.random.default_rng(0)
towers.set_weights({n: rng.normal(0, 0.3, w.shape).astype("f4") for n, w in sorted(towers.weights().items())})
batch = training_batch(task.feed, task.train["podcast"], np.arange(31), task.settings, rng)
loss = towers.pairs["podcast"].train_on_batch(batch.x, batch.y)
np.savez(sys.argv[2], loss=to_numpy(loss), **towers.weights())
"""


def test_towers_of_torch_are_exported_under_tensorflow_alone(one_process: Batch, tmp_path: Path) -> None:
    workspace = Workspace(one_process.folder.parents[1])
    weigh_edges(workspace, quick_config())
    refused = run("-m", "cli", "export", "-w", workspace.root)
    assert refused.returncode == 2
    assert "without KERAS_BACKEND" in refused.stderr
    assert export_bundle(workspace, quick_config()).manifest.metrics["user_vector_max_difference"] <= 1e-5


def test_two_processes_give_the_result_of_one(one_process: Batch, tmp_path: Path) -> None:
    make_world(tmp_path)
    done = run(*stage(tmp_path), launcher=LAUNCHER)
    assert done.returncode == 0, done.stderr
    batch = Workspace(tmp_path).current("towers")
    assert json.loads(done.stdout)["batch_id"] == batch.id == one_process.id  # printed once
    assert done.stderr.count("towers epoch 1/3") == 1
    assert (batch.manifest.metrics["processes"], one_process.manifest.metrics["processes"]) == (2, 1)
    for name in ("item_vectors", "user_vectors"):
        vectors, expected = (load_vectors(b.path(f"{name}.safetensors")) for b in (batch, one_process))
        for key, matrix in vectors.items():
            np.testing.assert_allclose(matrix, expected[key], atol=1e-3)
    for epoch, like in zip(epochs_of(batch), epochs_of(one_process), strict=True):
        assert epoch["loss"] == pytest.approx(like["loss"], rel=1e-3)
    again = run(*stage(tmp_path), launcher=LAUNCHER)
    assert again.returncode == 0, again.stderr
    assert "towers epoch" not in again.stderr


def test_each_process_computes_its_own_part(tmp_path: Path) -> None:
    make_world(tmp_path)
    program = tmp_path / "program.py"
    program.write_text(_PARTS.format(root=str(ROOT), words=WORDS))
    done = run(program, tmp_path, launcher=LAUNCHER)
    assert done.returncode == 0, done.stderr
    rows = [line.split() for line in done.stdout.splitlines() if line[:1].isdigit()]
    parts = {rank: [(int(mine), float(w)) for who, mine, w in rows if who == rank] for rank in ("0", "1")}
    assert len(parts["0"]) == len(parts["1"]) > 0
    for (first, weight), (second, rest) in zip(parts["0"], parts["1"], strict=True):
        assert abs(first - second) <= 1
        assert weight + rest == pytest.approx(1)
        assert min(weight, rest) > 0.2


_PARTS = """
import os, sys
sys.path.insert(0, {root!r})
from cli import main
from towers.two_tower import TowerPair
real = TowerPair.train_on_batch
def counting(self, x, y):
    line = " ".join(map(str, (os.environ["RANK"], len(y["own"]), y["weight"].sum())))
    os.write(1, (line + os.linesep).encode())  # at once, lest the lines of two processes mix
    return real(self, x, y)
TowerPair.train_on_batch = counting
main(["train-towers", "-w", sys.argv[1], *{words!r}, "--set", "towers.epochs=1", "--json"])
"""


def test_torch_and_tensorflow_never_meet(tmp_path: Path) -> None:
    make_world(tmp_path)
    code = """
import sys
from cli import main
try:
    main(sys.argv[1:])
except SystemExit:
    print([name for name in ("torch", "tensorflow") if sys.modules.get(name)])
"""
    done = run("-c", code, "train-towers", "-w", tmp_path, *WORDS, "--set", "towers.epochs=1", "--quiet")
    assert done.stdout.splitlines()[-1] == "['torch']", done.stderr


def test_several_processes_under_tensorflow_are_refused(tmp_path: Path) -> None:
    make_world(tmp_path)
    done = run(*stage(tmp_path), back_end="tensorflow", launcher=LAUNCHER)
    assert done.returncode != 0
    assert "KERAS_BACKEND=torch" in done.stderr
    assert not Workspace(tmp_path).has("towers")
