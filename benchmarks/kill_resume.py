"""Kill `graphkit run` at random points of every stage, resume, and compare with an unbroken run.

    python benchmarks/kill_resume.py --kills 5 --seed 0

Prints one line a stage and exits with 1 if any stage's content hash differs.
"""

from __future__ import annotations

import argparse
import fcntl
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from record import record

from graphkit.artefacts import Batch, Workspace
from graphkit.stages import STAGES

TINY = (
    "--preset", "demo", "--sample", "--quiet", "--set", "sample.size=tiny", "--set", "hgnn.epochs=4",
    "--set", "towers.epochs=3", "--set", "evaluation.bootstrap=50",
)  # fmt: skip
#: The report prints the seconds each stage took, so its bytes differ from run to run.
COMPARED = tuple(stage for stage in STAGES if stage != "report")


def start_run(root: Path) -> subprocess.Popen[bytes]:
    """`graphkit run` on the tiny sample world, in ``root``."""
    words = [sys.executable, "-m", "cli", "run", "-w", str(root), *TINY]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL)


def finish_run(root: Path) -> dict[str, Batch]:
    """Run to the end; the batch of every stage."""
    if start_run(root).wait() != 0:
        raise SystemExit("graphkit run failed")
    workspace = Workspace(root)
    return {stage: workspace.current(stage) for stage in STAGES}


def kill_within(root: Path, stage: str, seconds: float, rng: random.Random) -> bool:
    """Start a run and kill -9 it at a random point of ``stage``; False if the stage was done before that."""
    process = start_run(root)
    while process.poll() is None and not at_work(Workspace(root).stage_dir(stage)):
        time.sleep(0.005)
    time.sleep(rng.uniform(0, seconds))
    hit = process.poll() is None and at_work(Workspace(root).stage_dir(stage))
    process.kill()
    process.wait()
    time.sleep(0.2)  # the stage's own process is killed by the kernel a moment after its parent
    return hit


def at_work(stage_dir: Path) -> bool:
    """Whether a process is writing this stage: it holds the stage's lock from its first file to its last."""
    path = stage_dir / ".lock"
    if not path.exists():
        return False
    with path.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def hit_stage(root: Path, stage: str, kills: int, unbroken: Batch, rng: random.Random) -> int:
    """Kill within ``stage`` until it was hit ``kills`` times; a run that got past it first starts it again."""
    hits, seconds = 0, unbroken.manifest.wall_seconds
    for _ in range(8 * kills):
        shutil.rmtree(Workspace(root).stage_dir(stage) / unbroken.id, ignore_errors=True)
        (Workspace(root).stage_dir(stage) / "rotation.json").unlink(missing_ok=True)
        if kill_within(root, stage, seconds, rng):
            hits += 1
        else:  # this run was quicker than the unbroken one, or not yet at work: look earlier in the stage
            seconds /= 2
        if hits == kills:
            break
    return hits


def compare(kills: int, seed: int) -> dict[str, dict[str, object]]:
    """Per stage: how many kills hit it, and whether the result equals the unbroken run's."""
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder:
        unbroken = finish_run(Path(folder) / "unbroken")
        broken_root = Path(folder) / "broken"
        hits = {stage: hit_stage(broken_root, stage, kills, unbroken[stage], rng) for stage in STAGES}
        broken = finish_run(broken_root)
        same = {stage: broken[stage].content_hash == unbroken[stage].content_hash for stage in COMPARED}
        return {stage: {"kills": hits[stage], "same": same.get(stage, "not compared")} for stage in STAGES}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=5, help="per stage")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    found = compare(options.kills, options.seed)
    record("kill_resume", [{"stage": stage, **row} for stage, row in found.items()], seed=options.seed)
    sys.exit(0 if all(row["same"] and row["kills"] == options.kills for row in found.values()) else 1)


if __name__ == "__main__":
    main()
