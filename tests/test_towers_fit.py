"""The towers stage from end to end on a tiny world: what it writes, repeatability, resume, and bad input."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file
from towers_world import (
    CUTOFF,
    ITEMS,
    NOBODY,
    NUM_USERS,
    frame,
    interactions,
    make_world,
    quick_config,
    write_dataset,
    write_graph,
    write_hgnn,
)

import towers.epochs
from graphkit.artefacts import Batch, Workspace
from graphkit.errors import ArtefactError, InputError
from graphkit.user_features import FeatureSpec
from graphkit.vectors import load_vectors
from towers.backend import to_numpy
from towers.fit import train_towers
from towers.team import Team
from towers.two_tower import Towers, load_user_tower, user_tower

TESTS = Path(__file__).parent


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Batch:
    return train_towers(make_world(tmp_path_factory.mktemp("trained")), quick_config())


def test_it_writes_vectors_of_every_user_and_item(trained: Batch) -> None:
    users = load_vectors(trained.path("user_vectors.safetensors"))
    items = load_vectors(trained.path("item_vectors.safetensors"))
    assert users["user"].shape == (NUM_USERS, 8)
    assert {t: matrix.shape for t, matrix in items.items()} == {t: (n, 8) for t, n in ITEMS.items()}
    for matrix in [*users.values(), *items.values()]:
        np.testing.assert_allclose(np.linalg.norm(matrix, axis=1), 1, atol=1e-5)


def test_a_user_of_whom_nothing_is_known_gets_a_vector(trained: Batch) -> None:
    vector = load_vectors(trained.path("user_vectors.safetensors"))["user"][NOBODY]
    assert np.isfinite(vector).all()
    assert np.linalg.norm(vector) == pytest.approx(1, abs=1e-5)


def test_its_golden_users_are_those_of_the_stored_vectors(trained: Batch) -> None:
    """Vectors and lists of the pattern in which nothing is missing, and the one vector where everything is."""
    stored = load_file(trained.path("replay.safetensors"))
    assert sorted(stored["users"]) == list(range(NUM_USERS))
    users = load_vectors(trained.path("user_vectors.safetensors"))["user"]
    np.testing.assert_allclose(stored["vectors/as is"], users[stored["users"]], atol=1e-6)
    nothing = np.broadcast_to(users[NOBODY], users.shape)
    np.testing.assert_allclose(stored["vectors/nothing known"], nothing, atol=1e-6)
    scores = users[stored["users"]] @ load_vectors(trained.path("item_vectors.safetensors"))["podcast"].T
    listed = np.take_along_axis(scores, stored["top/podcast/as is"].astype(int), axis=1)
    np.testing.assert_allclose(listed, -np.sort(-scores, axis=1), atol=1e-6)
    assert {name for name in stored if name.startswith("vectors/")} == {
        "vectors/as is", "vectors/no audiobook history", "vectors/no podcast history", "vectors/no weak signals",
        "vectors/no demographics", "vectors/nothing known", "vectors/every combination in turn",
    }  # fmt: skip


def test_the_manifest_and_curves_say_how_training_went(trained: Batch) -> None:
    curves = json.loads(trained.path("training.json").read_text())
    manifest = trained.manifest
    assert [epoch["epoch"] for epoch in curves["epochs"]] == [1, 2, 3]
    best = max(curves["epochs"], key=lambda epoch: epoch["val_ndcg"])
    assert curves["best_epoch"] == best["epoch"] == manifest.metrics["best_epoch"]
    assert manifest.metrics["val_ndcg"] == best["val_ndcg"]
    assert set(best) == {"epoch", "loss", "val_loss", "val_ndcg", "val_ndcg_cells"}
    assert {"podcast/warm", "audiobook/warm", "audiobook/cold"} <= set(best["val_ndcg_cells"])
    assert manifest.metrics["hgnn_space_id"] == "hgnn-world"
    assert manifest.metrics["examples_per_second"] > 0
    assert (manifest.metrics["back_end"], manifest.metrics["processes"]) == ("tensorflow", 1)
    assert manifest.space_id.startswith("towers-")
    assert not (trained.folder / "checkpoint").exists()


def test_training_learns_the_planted_taste(trained: Batch) -> None:
    users = load_vectors(trained.path("user_vectors.safetensors"))["user"]
    items = load_vectors(trained.path("item_vectors.safetensors"))["podcast"]
    scores = users[1:] @ items.T
    own = (np.arange(1, NUM_USERS)[:, None] + np.arange(len(items))) % 2 == 0
    assert np.mean(scores[own]) > np.mean(scores[~own]) + 0.2


def test_the_user_tower_loads_and_stands_alone(trained: Batch) -> None:
    tower = load_user_tower(trained)
    spec = FeatureSpec.model_validate_json(trained.path("features.json").read_text())
    assert {tensor.name: (tensor.shape[-1], tensor.dtype) for tensor in tower.inputs} == {
        "pooled": (spec.pooled_dim, "float32"),
        "categorical": (2, "int32"),
        "vectors": (0, "float32"),
    }
    nobody = {
        "pooled": np.zeros((1, spec.pooled_dim), np.float32),
        "categorical": np.zeros((1, 2), np.int32),
        "vectors": np.zeros((1, 0), np.float32),
    }
    stored = load_vectors(trained.path("user_vectors.safetensors"))["user"][NOBODY]
    np.testing.assert_allclose(np.asarray(tower(nobody))[0], stored, atol=1e-6)


def test_a_user_tower_without_categories(tmp_path: Path) -> None:
    spec = FeatureSpec(pools=(("podcast", "strong"),), embedding_dim=4)
    tower = user_tower(spec, quick_config().towers)
    nothing = np.zeros((3, 0), np.float32)
    out = tower({"pooled": np.ones((3, 5), np.float32), "categorical": nothing.astype(np.int32), "vectors": nothing})
    assert np.isfinite(np.asarray(out)).all()


def test_a_finished_stage_is_not_trained_again(trained: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(towers.epochs, "run_epoch", None)
    workspace = Workspace(trained.folder.parents[1])
    assert train_towers(workspace, quick_config()).id == trained.id


def test_killed_in_another_process_it_resumes_here_to_the_same_files(trained: Batch, tmp_path: Path) -> None:
    workspace = make_world(tmp_path)
    command = [sys.executable, "-c", _KILLED, str(tmp_path)]
    killed = subprocess.run(command, cwd=TESTS, capture_output=True, text=True, check=False)
    assert killed.returncode == -signal.SIGKILL
    # graphkit's own line of news on the first epoch (the second was cut short), and nothing of TensorFlow's.
    assert [line.partition(":")[0] for line in killed.stderr.splitlines()] == ["towers epoch 1/3"]
    assert killed.stdout == ""
    assert not workspace.has("towers")
    assert list(tmp_path.glob("towers/.partial-*/checkpoint/towers.safetensors"))
    epochs = _count_epochs(workspace)
    assert epochs == [3]  # the first two were trained in the other process
    batch = workspace.current("towers")
    assert batch.content_hash == trained.content_hash
    examples = sum(count for name, count in batch.manifest.row_counts.items() if name.endswith(" examples"))
    assert batch.manifest.metrics["examples_per_second"] == examples  # of the one epoch that took a second here


_KILLED = """
import os, signal, sys
from pathlib import Path
import towers.epochs
from graphkit.artefacts import Workspace
from towers.fit import train_towers
from towers_world import quick_config
save = towers.epochs.save_checkpoint
def save_and_die(folder, model, progress):
    save(folder, model, progress)
    if len(progress.epochs) == 2:
        os.kill(os.getpid(), signal.SIGKILL)
towers.epochs.save_checkpoint = save_and_die
train_towers(Workspace(Path(sys.argv[1])), quick_config())
"""


def _count_epochs(workspace: Workspace) -> list[int]:
    """Train in what the clock says is one second, and say which epochs were run."""
    run, seen = towers.epochs.run_epoch, []

    def counted(model: Towers, task: towers.epochs.Task, epoch: int, team: Team) -> dict:
        seen.append(epoch)
        return run(model, task, epoch, team)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(towers.epochs, "run_epoch", counted)
        patch.setattr(towers.fit, "perf_counter", iter([0.0, 1.0]).__next__)
        train_towers(workspace, quick_config())
    return seen


def test_no_row_at_or_after_the_cutoff_is_read(trained: Batch, tmp_path: Path) -> None:
    rows = interactions()
    late = pl.col("split") == "test"
    changed = rows.filter(~late).vstack(
        frame(
            [
                {"user": user, "item_type": "podcast", "item": (user * 7) % 30, "signal": "stream",
                 "timestamp": CUTOFF + timedelta(days=user % 9), "split": "test"}
                for user in range(NUM_USERS)
            ]
        ).select(rows.columns)
    )  # fmt: skip
    assert rows.filter(late).height
    workspace = Workspace(tmp_path)
    dataset = write_dataset(workspace, changed.sort("user", "timestamp", "item_type", "item"))
    write_hgnn(workspace, write_graph(workspace, dataset))
    assert train_towers(workspace, quick_config()).manifest.files == trained.manifest.files


@pytest.mark.parametrize("loss", ["linear", "softmax"])
def test_both_losses_train_without_timestamps(tmp_path: Path, loss: str) -> None:
    batch = train_towers(make_world(tmp_path, timed=False, targets=("podcast",)), quick_config(f"towers.loss={loss}"))
    epochs = json.loads(batch.path("training.json").read_text())["epochs"]
    assert epochs[-1]["loss"] < epochs[0]["loss"]
    if loss == "linear":
        assert all(-2 <= epoch["loss"] <= 2 for epoch in epochs)


def test_bfloat16_computes_in_it_and_serves_float32(tmp_path: Path) -> None:
    """Another result than float32's, close to it; weights and vectors are float32 and agree with each other."""
    found = {
        precision: train_towers(make_world(tmp_path / precision), quick_config(f"towers.precision={precision}"))
        for precision in ("float32", "bfloat16")
    }
    users = {p: load_vectors(batch.path("user_vectors.safetensors"))["user"] for p, batch in found.items()}
    assert users["bfloat16"].dtype == np.float32
    assert np.abs(users["bfloat16"] - users["float32"]).max() > 1e-6
    assert (users["bfloat16"] * users["float32"]).sum(axis=1).mean() > 0.95
    assert found["bfloat16"].manifest.metrics["precision"] == "bfloat16"
    spec = FeatureSpec.model_validate_json(found["bfloat16"].path("features.json").read_text())
    nobody = {
        "pooled": np.zeros((1, spec.pooled_dim), np.float32),
        "categorical": np.zeros((1, 2), np.int32),
        "vectors": np.zeros((1, 0), np.float32),
    }
    tower = load_user_tower(found["bfloat16"])
    np.testing.assert_allclose(np.asarray(tower(nobody))[0], users["bfloat16"][NOBODY], atol=1e-6)


def test_patience_ends_training_and_the_best_weights_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    figures = iter([0.1, 0.3, 0.2, 0.1, 0.9])
    weights = []

    def record(model: Towers, task: towers.epochs.Task, epoch: int, team: Team) -> dict:
        model.user.weights[-1].assign(model.user.weights[-1] + epoch)
        weights.append(to_numpy(model.user.weights[-1]))
        return {"epoch": epoch, "loss": 1.0, "val_ndcg": next(figures)}

    monkeypatch.setattr(towers.epochs, "run_epoch", record)
    batch = train_towers(make_world(tmp_path), quick_config("towers.epochs=9", "towers.patience=2"))
    assert batch.manifest.metrics["epochs"] == 4
    assert batch.manifest.metrics["best_epoch"] == 2
    np.testing.assert_array_equal(to_numpy(load_user_tower(batch).weights[-1]), weights[1])


def test_a_target_type_without_labels(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    dataset = write_dataset(workspace, interactions().filter(pl.col("item_type") == "podcast"))
    write_hgnn(workspace, write_graph(workspace, dataset))
    with pytest.raises(InputError, match="target type 'audiobook'") as error:
        train_towers(workspace, quick_config())
    assert error.value.exit_code == 2
    assert not workspace.has("towers")


def test_a_single_user(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    dataset = write_dataset(workspace, interactions().filter(pl.col("user") == 1))
    write_hgnn(workspace, write_graph(workspace, dataset))
    with pytest.raises(InputError, match="one user"):
        train_towers(workspace, quick_config())


def test_embeddings_of_another_graph_are_refused_and_the_earlier_towers_stay(tmp_path: Path) -> None:
    workspace = make_world(tmp_path, targets=("podcast",))
    earlier = train_towers(workspace, quick_config("towers.epochs=1"))
    hgnn, old_graph = workspace.current("hgnn"), workspace.current("graph")
    graph = write_graph(workspace, workspace.current("dataset"), seed=5)
    with pytest.raises(ArtefactError) as error:
        train_towers(workspace, quick_config("towers.epochs=1"))
    assert all(part in str(error.value) for part in (graph.id, old_graph.id, "graphkit train-hgnn", hgnn.id))
    assert workspace.current("towers").id == earlier.id


def test_embeddings_of_two_widths(tmp_path: Path) -> None:
    workspace = make_world(tmp_path)
    write_hgnn(workspace, workspace.current("graph"), dims={"podcast": 5})
    with pytest.raises(ArtefactError, match="different widths") as error:
        train_towers(workspace, quick_config())
    assert "fit/podcast: 5" in str(error.value)


def test_embeddings_of_another_catalogue(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    dataset = write_dataset(workspace, interactions(), num_items=ITEMS | {"podcast": 31})
    write_hgnn(workspace, write_graph(workspace, dataset))
    with pytest.raises(ArtefactError, match="do not fit the catalogue") as error:
        train_towers(workspace, quick_config())
    assert "31 rows" in str(error.value)
