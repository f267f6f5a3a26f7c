"""The whole chain: what is up to date, what is stale, and running each stage in a process of its own.

A process per stage keeps PyTorch and TensorFlow apart and makes each manifest's peak memory that stage's own.
"""

from __future__ import annotations

import ctypes
import json
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from graphkit.artefacts import Batch, StageSpec, Workspace
from graphkit.config import Config
from graphkit.errors import ArtefactError, GraphkitError, InputError
from graphkit.evaluation.peers.optional import peer_inputs
from graphkit.progress import say
from graphkit.schemas import DATASET_FILE
from graphkit.stages import ALL_STAGES, ENCODERS, REPORTED, STAGES, with_encoders
from graphkit.text import model_identity
from graphkit.variants.runs import run_inputs

if TYPE_CHECKING:
    from graphkit.graph.estimate import BuildEstimate

COMMANDS = {
    "dataset": "sample",
    "graph": "build-graph",
    "hgnn": "train-hgnn",
    "towers": "train-towers",
    "edges": "weigh-edges",
    "bundle": "export",
    "peers": "tune-peers",
    "evaluation": "evaluate",
    "report": "report",
}
#: The stages whose settings `tune-blend` trains under, on a hold-out.
BLENDED = ("graph", "hgnn", "towers", "edges")


def chain(make_sample: bool, config: Config) -> list[str]:
    """The stages of a run: all, or all but the dataset where it is there already, and the user encoders that
    ``config`` names before the towers."""
    return list(with_encoders((s for s in STAGES if make_sample or s != "dataset"), config.towers.user_vectors))


def command_words(stage: str) -> list[str]:
    """The command that makes a stage of the chain, word by word."""
    return ["train-encoder", stage] if stage in ENCODERS else [COMMANDS[stage]]


def upstream_batches(workspace: Workspace, stage: str, config: Config) -> list[Batch]:
    """What ``stage`` reads; the report reads every stage there is."""
    if stage == "report":
        return [workspace.current(name) for name in REPORTED if workspace.has(name)]
    return list(workspace.upstream(stage, config).values())


def stage_spec(workspace: Workspace, stage: str, config: Config) -> StageSpec:
    """What ``stage`` would be made from now, as the stage itself says it, without importing the stage."""
    inputs = {}
    if stage == "graph":
        inputs = {"text_model": model_identity(config.text.model)}
    elif stage == "evaluation":
        inputs = run_inputs(workspace)
    elif stage == "peers":
        inputs = peer_inputs()
    elif stage == "blend":
        inputs = {name: workspace.peek(name).id for name in BLENDED}
        inputs["popularity_days"] = str(config.blend.popularity_days)
    return StageSpec.of(stage, config, upstream_batches(workspace, stage, config), inputs)


def finished(workspace: Workspace, stage: str, config: Config) -> Batch | None:
    """The up-to-date batch of ``stage`` under ``config``, made current; None if it is to be made."""
    return workspace.finished(stage_spec(workspace, stage, config))


def recommended_config(workspace: Workspace) -> dict[str, dict[str, Any]]:
    """What the current dataset's card recommends; nothing where there is no dataset yet."""
    if not workspace.has("dataset"):
        return {}
    text = workspace.current("dataset").path(DATASET_FILE).read_text(encoding="utf-8")
    found: dict[str, dict[str, Any]] = json.loads(text)["config"]
    return found


def run_chain(
    workspace: Workspace, resolve: Callable[[], Config], words: Sequence[str], make_sample: bool
) -> list[tuple[Batch, bool]]:
    """Every stage's batch, and whether this call made it. ``words`` go to every stage's command.

    Raises InputError without a dataset to start from, GraphkitError if a stage fails (with its exit code).
    """
    if not make_sample and not workspace.has("dataset"):
        raise InputError(
            "the workspace has no dataset yet",
            where=str(workspace.root),
            fix="add --sample, or --card CARD --source FOLDER, or run `graphkit import` first",
        )
    done: list[tuple[Batch, bool]] = [] if make_sample else [(workspace.current("dataset"), False)]
    for stage in chain(make_sample, resolve()):
        batch = finished(workspace, stage, resolve())
        made = batch is None
        if made:
            command = command_words(stage)
            say(f"{stage}: {' '.join(command)} …")
            spawn([*command, *words, *(["--quiet"] if _quiet() else [])])
            batch = workspace.current(stage)
        assert batch is not None  # narrows for mypy
        done.append((batch, made))
    return done


def spawn(words: Sequence[str]) -> None:
    """Run one graphkit command in a process that dies with this one; raises GraphkitError if it fails."""
    process = subprocess.run(
        [sys.executable, "-m", "cli", *words], check=False, preexec_fn=_die_with_parent, stdout=subprocess.DEVNULL
    )
    if process.returncode:
        raise StageFailedError(words[0], process.returncode)


class StageFailedError(GraphkitError):
    """A stage's process ended with an error, which it has printed itself."""

    def __init__(self, command: str, returncode: int) -> None:
        super().__init__(
            f"`graphkit {command}` failed",
            found=f"exit code {returncode}" if returncode > 0 else f"signal {-returncode}",
            fix="mend what it says above; the same command resumes from here",
        )
        self.exit_code = 2 if returncode == 2 else 1


def plan(
    workspace: Workspace, config: Config, stages: Sequence[str], new_dataset: bool = False
) -> list[dict[str, Any]]:
    """For each stage: what it would read and write, its state, and what it cost here before.

    After the first stage that is to be made (all of them, with ``new_dataset``) no batch id is known yet.
    """
    rows, pending = [], new_dataset
    for stage in stages:
        state, batch_id, cost = "to do", "(its input comes first)", None
        if not pending:
            try:
                spec = stage_spec(workspace, stage, config)
                batch_id = spec.batch_id
                if batch_id == workspace.rotation(stage)["current"]:
                    state = "up to date"
                elif (workspace.stage_dir(stage) / batch_id).is_dir():
                    state = "kept, becomes current again"
            except ArtefactError as error:
                state = f"not possible yet: {error.problem}"
        pending = pending or state != "up to date"
        if workspace.has(stage):
            cost = workspace.peek(stage).manifest
        rows.append(
            {
                "stage": stage,
                "reads": ", ".join(config.stage(stage).upstream) or ("every stage" if stage == "report" else "-"),
                "writes": f"{stage}/{batch_id}",
                "state": state,
                "last seconds": cost.wall_seconds if cost else None,
                "last peak MiB": round(cost.peak_memory_bytes / 2**20) if cost else None,
            }
        )
    return rows


def estimate(workspace: Workspace, config: Config, stage: str) -> BuildEstimate | None:
    """What making ``stage`` would cost, where that can be told beforehand: the graph, once there is a dataset."""
    if stage != "graph" or not workspace.has("dataset"):
        return None
    from graphkit.datasets.store import Dataset
    from graphkit.graph.build import TEXT_CACHE
    from graphkit.graph.estimate import estimate_build

    return estimate_build(Dataset.current(workspace), config, workspace.root / TEXT_CACHE)


def batch_rows(workspace: Workspace) -> list[dict[str, Any]]:
    """Current and legacy batch of every stage, and whether it is stale (made from a batch not current now)."""
    rows = []
    for stage in ALL_STAGES:
        for role, batch_id in workspace.rotation(stage).items():
            if batch_id is None:
                continue
            manifest = Batch.open(workspace.stage_dir(stage) / batch_id).manifest
            rows.append(
                {
                    "stage": stage,
                    "role": role,
                    "batch": batch_id,
                    "made from": ", ".join(f"{k} {v}" for k, v in manifest.upstream.items()) or "-",
                    "snapshot": manifest.snapshot_id,
                    "space": manifest.space_id or "-",
                    "created": manifest.created_at,
                    "stale": ", ".join(_stale(workspace, manifest.upstream)) or "no",
                }
            )
    return rows


def _stale(workspace: Workspace, upstream: dict[str, str]) -> list[str]:
    return [
        f"{name} is {workspace.rotation(name)['current']} now"
        for name in upstream
        if _moved(workspace, name, upstream)
    ]


def _moved(workspace: Workspace, name: str, upstream: dict[str, str]) -> bool:
    return workspace.rotation(name)["current"] != upstream[name]


def _quiet() -> bool:
    import os

    return os.environ.get("GRAPHKIT_QUIET") == "1"


def _die_with_parent() -> None:
    """Linux: the kernel kills this process when its parent dies, so that no orphan holds a stage's lock."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
