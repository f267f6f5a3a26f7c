"""The programs of an exported bundle's README run where there is no graphkit, and rank as the towers do."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tiny_towers import exported_workspace
from towers_world import make_world, quick_config

from graphkit import weigh_edges
from graphkit.artefacts import Workspace
from graphkit.datasets.store import Dataset
from graphkit.vectors import load_vectors

#: Importing either raises ImportError, as where they are not installed.
WITHOUT = "import sys; sys.modules.update(graphkit=None, towers=None)\n"


def trained(root: Path, *settings: str) -> Workspace:
    from towers.export import export_bundle
    from towers.fit import train_towers

    workspace = make_world(root)
    config = quick_config("towers.epochs=1", *settings)
    train_towers(workspace, config)
    weigh_edges(workspace, config)
    export_bundle(workspace, config)
    return workspace


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return exported_workspace(tmp_path_factory.mktemp("tiny"))


def programs(folder: Path) -> list[str]:
    text = (folder / "README.md").read_text(encoding="utf-8")
    found = re.findall(r"```python\n(.*?)```", text.partition("## Without graphkit")[2], flags=re.DOTALL)
    assert [("onnxruntime" in program, "tensorflow" in program) for program in found] == [
        (True, False),
        (False, True),
    ]
    return found


def run(program: str, folder: Path, user_id: str) -> list[str]:
    words = [sys.executable, "-W", "ignore", "-c", WITHOUT + program.replace("USER_ID", user_id)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return ast.literal_eval(done.stdout.splitlines()[-1])


def ranked(workspace: Workspace, user: int) -> list[str]:
    """The towers' first ten audiobooks, by the vectors that training stored."""
    towers = workspace.current("towers")
    vector = load_vectors(towers.path("user_vectors.safetensors"))["user"][user]
    scores = load_vectors(towers.path("item_vectors.safetensors"))["audiobook"] @ vector
    ids = Dataset.open(workspace.current("dataset")).items("audiobook")["item_id"]
    return [ids[int(item)] for item in np.argsort(-scores)[:10]]


def test_both_programs_rank_as_the_towers_do(tiny: Workspace, tmp_path: Path) -> None:
    copy = shutil.copytree(tiny.current("bundle").folder, tmp_path / "elsewhere")
    for program in programs(copy):
        assert "graphkit" not in program
        assert run(program, copy, "u17") == ranked(tiny, 17)


def test_they_are_about_ten_lines(tiny: Workspace) -> None:
    for program in programs(tiny.current("bundle").folder):
        lines = [line for line in program.splitlines() if not line.startswith(("import", "from"))]
        assert len([line for line in lines if line]) <= 13, program


@pytest.mark.parametrize(
    "settings",
    [
        ("towers.pooled=text",),
        ('towers.user_inputs=["history"]',),
        ('towers.user_inputs=["demographics"]',),
        ("export.index=voyager",),
        ("export.index=faiss",),
    ],
    ids=["text pooled", "means alone", "nothing pooled", "voyager", "faiss"],
)
def test_they_fit_the_towers_that_were_trained(tmp_path: Path, settings: tuple[str, ...]) -> None:
    workspace = trained(tmp_path, *settings)
    folder = workspace.current("bundle").folder
    vectors = load_vectors(workspace.current("towers").path("user_vectors.safetensors"))["user"]
    items = load_vectors(workspace.current("towers").path("item_vectors.safetensors"))["audiobook"]
    ids = Dataset.open(workspace.current("dataset")).items("audiobook")["item_id"].to_list()
    scores = items @ vectors[7]
    for program in programs(folder):
        got = scores[[ids.index(name) for name in run(program, folder, "u7")]]
        np.testing.assert_allclose(got, np.sort(scores)[:-11:-1], atol=1e-5)  # items of equal features are tied
