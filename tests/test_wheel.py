"""The wheel works outside the checkout: import names, presets and dataset cards."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    words = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    subprocess.run(words, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_the_wheel_installs_three_import_names(wheel: Path) -> None:
    names = {name.split("/")[0] for name in zipfile.ZipFile(wheel).namelist()}
    assert {name for name in names if not name.endswith(".dist-info")} == {"graphkit", "towers", "cli.py"}


def test_presets_and_cards_travel(wheel: Path, tmp_path: Path) -> None:
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}

    def graphkit(*words: str) -> str:
        command = [sys.executable, "-m", "cli", *words]
        done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
        return done.stdout

    assert (tmp_path / "site" / "graphkit" / "resources" / "claims.toml").is_file()
    assert "batch_size = 256" in graphkit("config", "--preset", "paper")
    overlay = tmp_path / "site" / "graphkit" / "resources" / "configs" / "variants" / "2t.toml"
    assert 'pooled = "text"' in graphkit("config", "--preset", str(overlay))
    cards = {line.split()[0] for line in graphkit("cards").splitlines()}
    assert cards >= {"eswc2015", "amazon2014_dev", "ml_latest_small", "gowalla_lightgcn", "podcasts_catalogue"}
    where = subprocess.run(
        [sys.executable, "-c", "import cli; print(cli.__file__)"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert where.stdout.startswith(str(tmp_path))
