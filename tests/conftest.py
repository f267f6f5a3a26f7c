"""Shared fixtures: the data packs, and one finished tiny chain that many tests read."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import graphkit as _graphkit  # noqa: F401 - before torch: it sets how OpenMP's threads wait

ROOT = Path(__file__).resolve().parents[1]
#: The whole chain on the tiny sample world, as a user would type it.
TINY_RUN = (
    "run", "--preset", "demo", "--sample", "--set", "sample.size=tiny", "--set", "hgnn.epochs=3",
    "--set", "towers.epochs=2", "--set", "evaluation.bootstrap=200",
)  # fmt: skip


@pytest.fixture(scope="session")
def data_packs() -> Path:
    """The folder of real data packs; the test is skipped where there is none."""
    folder = Path(os.environ.get("GRAPHKIT_DATA", ROOT.parent / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"no data packs at {folder}; set GRAPHKIT_DATA to their folder")
    return folder


@pytest.fixture
def graphkit() -> Callable[..., Result]:
    """Run one command in this process: ``graphkit("config", "--preset", "paper")``."""
    from cli import main

    runner = CliRunner(env={"GRAPHKIT_QUIET": None})  # and after a command with --quiet it is as it was
    return lambda *words: runner.invoke(main, [str(word) for word in words])


def graphkit_process(*words: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run one command in a process of its own, as a user would."""
    command = [sys.executable, "-m", "cli", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)  # type: ignore[call-overload]


@pytest.fixture(scope="session")
def finished_chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with every stage done on the tiny sample world. Read it; copy it before writing."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    root = shared / "finished-chain"
    with (shared / "finished-chain.lock").open("w") as lock:  # one xdist worker runs it, the others wait
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (root / "report").is_dir():
            done = graphkit_process(*TINY_RUN, "-w", root)
            if done.returncode:
                pytest.fail(f"graphkit run failed:\n{done.stderr}")
    return root


@pytest.fixture
def own_chain(finished_chain: Path, tmp_path: Path) -> Path:
    """A copy of the finished chain that the test may change."""
    return shutil.copytree(finished_chain, tmp_path / "chain")
