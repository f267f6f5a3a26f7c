"""``graphkit bundle verify``: a sound bundle holds wherever it lies; each kind of damage is named."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result
from safetensors.numpy import load_file, save_file
from tiny_towers import NUM_USERS, exported_workspace

from graphkit.artefacts import Workspace, sha256_file
from graphkit.errors import ArtefactError
from towers import verify_bundle

Cli = Callable[..., Result]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return exported_workspace(tmp_path_factory.mktemp("tiny"))


@pytest.fixture
def copy(workspace: Workspace, tmp_path: Path) -> Path:
    """The bundle, copied elsewhere."""
    return shutil.copytree(workspace.current("bundle").folder, tmp_path / "elsewhere")


def change(folder: Path, name: str, how: Callable[[dict[str, np.ndarray]], None]) -> None:
    """Change a file's tensors, and its hash in the manifest, as a wrong export would have written it."""
    tensors = {key: value.copy() for key, value in load_file(folder / name).items()}
    how(tensors)
    save_file(tensors, folder / name)
    rehash(folder, name)


def rehash(folder: Path, name: str) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["files"][name] = sha256_file(folder / name)
    (folder / "manifest.json").write_text(json.dumps(manifest))


def failed(folder: Path) -> dict[str, str]:
    return {proof.what: proof.first for proof in verify_bundle(folder) if proof.failed}


def test_a_sound_bundle_is_proved_in_the_workspace_and_elsewhere(
    workspace: Workspace, copy: Path, graphkit: Cli
) -> None:
    here = graphkit("bundle", "verify", "-w", workspace.root, "--json")
    there = graphkit("bundle", "verify", copy, "--json")
    assert here.exit_code == there.exit_code == 0, here.output
    proofs = json.loads(there.output)["proofs"]
    assert json.loads(here.output)["proofs"] == proofs
    # as is; no history of each of three types, weak signals, demographics; nothing known; every combination
    every = f"{NUM_USERS} users x 8 patterns"
    assert {proof["what"]: (proof["checked"], proof["verdict"]) for proof in proofs} == {
        "files": (f"{len(workspace.current('bundle').manifest.files)} files", "holds"),
        "user tower, ONNX": (every, "holds"),
        "user tower, SavedModel": (every, "holds"),
        "ranking of audiobook": (every, "holds"),
        "index of audiobook, recall@100": (f"{NUM_USERS // 2} users", "holds"),
        "ranking of podcast": (every, "holds"),
        "index of podcast, recall@100": (f"{NUM_USERS // 2} users", "holds"),
    }
    assert all(proof["worst"] <= 1e-4 for proof in proofs if proof["what"].startswith(("user", "ranking")))
    printed = graphkit("bundle", "verify", copy)
    assert printed.exit_code == 0
    assert "SavedModel" in printed.output


@pytest.mark.parametrize("name", ["index/podcast.ann", "replay.safetensors", "user_tower/saved_model.pb"])
def test_a_flipped_byte_is_named(copy: Path, name: str, graphkit: Cli) -> None:
    damaged = bytearray((copy / name).read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (copy / name).write_bytes(damaged)
    done = graphkit("bundle", "verify", copy, "--json")
    assert done.exit_code == 1
    (only,) = json.loads(done.output)["proofs"]
    assert (only["what"], only["verdict"]) == ("files", "FAILED")
    assert name in only["first"]


def test_a_missing_file_is_named(copy: Path, graphkit: Cli) -> None:
    (copy / "user_categorical.safetensors").unlink()
    done = graphkit("bundle", "verify", copy)
    assert done.exit_code == 1
    assert "user_categorical.safetensors" in done.output.replace("\n", "")


def test_features_that_are_not_those_of_training(copy: Path) -> None:
    """One user's country: both towers read it, and are right but under the patterns without it."""

    def move(tensors: dict[str, np.ndarray]) -> None:
        tensors["categorical"][7] = 3 - tensors["categorical"][7]

    change(copy, "user_categorical.safetensors", move)
    found = failed(copy)
    assert set(found) >= {"user tower, ONNX", "user tower, SavedModel"}
    assert found["user tower, ONNX"].startswith("user row 7, as is")


@pytest.mark.parametrize("pattern", ["no track history", "nothing known"])
@pytest.mark.parametrize("wrong", [2.0, np.nan])
def test_a_vector_that_differs_under_one_pattern_alone(copy: Path, pattern: str, wrong: float) -> None:
    users = load_file(copy / "replay.safetensors")["users"]

    def spoil(tensors: dict[str, np.ndarray]) -> None:
        tensors[f"vectors/{pattern}"][11, 3] = wrong

    change(copy, "replay.safetensors", spoil)
    assert failed(copy)["user tower, ONNX"].startswith(f"user row {users[11]}, {pattern}:")
    assert "ranking of podcast" not in failed(copy)


def test_lists_of_another_order_differ_but_for_ties(copy: Path) -> None:
    replay = load_file(copy / "replay.safetensors")
    items = load_file(copy / "item_vectors.safetensors")["podcast"]
    users, top = replay["users"], replay["top/podcast/no demographics"]
    scores = np.take_along_axis(replay["vectors/no demographics"] @ items.T, top.astype(int), axis=1)
    gaps = scores[:, 0] - scores[:, 1]
    user = int(np.argmax(gaps))
    assert gaps[user] > 1e-3

    def swap(tensors: dict[str, np.ndarray]) -> None:
        best = tensors["top/podcast/no demographics"][user]
        best[:2] = best[1::-1]

    change(copy, "replay.safetensors", swap)
    found = failed(copy)
    assert list(found) == ["ranking of podcast"]
    assert found["ranking of podcast"].startswith(f"user row {users[user]}, no demographics")


def test_items_in_each_other_s_place_are_no_tie(copy: Path) -> None:
    def swap(tensors: dict[str, np.ndarray]) -> None:
        tensors["audiobook"][[4, 5]] = tensors["audiobook"][[5, 4]]

    change(copy, "item_vectors.safetensors", swap)
    assert {"ranking of audiobook", "index of audiobook, recall@100"} <= set(failed(copy))


def test_an_index_that_finds_less_than_stated(copy: Path) -> None:
    about = json.loads((copy / "bundle.json").read_text())
    assert about["indexes"]["podcast"]["recall"] == 1
    about["indexes"]["podcast"]["recall"] = 1.002
    (copy / "bundle.json").write_text(json.dumps(about))
    rehash(copy, "bundle.json")
    assert failed(copy) == {"index of podcast, recall@100": "recall@100 1.0000"}


def test_without_tensorflow_the_saved_model_is_not_checked_and_said_so(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorflow", None)  # as where it is not installed
    proofs = {proof.what: proof for proof in verify_bundle(copy)}
    saved = proofs["user tower, SavedModel"]
    assert (saved.verdict, saved.allowed) == ("not checked", "TensorFlow cannot be imported here")
    assert proofs["user tower, ONNX"].verdict == "holds"


def test_what_is_no_bundle_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="not a serving bundle"):
        verify_bundle(workspace.current("towers").folder)
    with pytest.raises(ArtefactError, match="no manifest"):
        verify_bundle(tmp_path)
