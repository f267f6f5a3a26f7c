"""The folder that holds all stages' batches: which are current, what belongs together, who may write."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from graphkit.artefacts.batch import Batch
from graphkit.artefacts.disk import fsync, write_synced
from graphkit.artefacts.spec import StageSpec
from graphkit.artefacts.work import StageWork
from graphkit.config import Config
from graphkit.errors import ArtefactError, WorkspaceError
from graphkit.stages import ALL_STAGES, ENCODERS, vector_stage
from graphkit.vector_names import no_user_vectors

ROTATION: Final = "rotation.json"


@dataclass(frozen=True)
class Workspace:
    """The folder that holds all stages' batches."""

    root: Path

    def stage_dir(self, stage: str) -> Path:
        return self.root / stage

    def rotation(self, stage: str) -> dict[str, str | None]:
        """The ids of the ``current`` and ``legacy`` batch of a stage."""
        path = self.stage_dir(stage) / ROTATION
        try:
            found: dict[str, str | None] = json.loads(path.read_text(encoding="utf-8"))
            return {"current": found["current"], "legacy": found["legacy"]}
        except FileNotFoundError:
            return {"current": None, "legacy": None}
        except (json.JSONDecodeError, KeyError, TypeError, UnicodeDecodeError):
            raise ArtefactError(
                "cannot be read", where=str(path), fix=f"remove it and run `{ALL_STAGES[stage].command}`"
            ) from None

    def has(self, stage: str) -> bool:
        """Whether the stage has a current batch."""
        return self.rotation(stage)["current"] is not None

    def current(self, stage: str) -> Batch:
        """The stage's current batch, its files checked; raises ArtefactError if there is none."""
        batch_id = self.rotation(stage)["current"]
        if batch_id is None:
            raise ArtefactError(
                f"the workspace has no {stage} yet",
                where=str(self.root),
                fix=f"run `{ALL_STAGES[stage].command}` first",
            )
        return Batch.open(self.stage_dir(stage) / batch_id)

    def peek(self, stage: str) -> Batch:
        """The stage's current batch by its manifest alone, its files unchecked; raises ArtefactError without one."""
        batch_id = self.rotation(stage)["current"]
        return self.current(stage) if batch_id is None else Batch.peek(self.stage_dir(stage) / batch_id)

    def adopt(self, batch: Batch) -> Batch:
        """Take over a finished batch of another workspace and make it current: its files are linked, not copied.

        Files of a batch never change, so both workspaces may share them; across file systems they are copied.
        """
        folder = self.stage_dir(batch.manifest.stage) / batch.id
        if not folder.is_dir():
            partial = folder.with_name(f".partial-adopted-{batch.id}")
            shutil.rmtree(partial, ignore_errors=True)
            shutil.copytree(batch.folder, partial, copy_function=_link)
            partial.rename(folder)
        adopted = Batch.open(folder)
        self.rotate(adopted)
        return adopted

    def upstream(self, stage: str, config: Config | None = None) -> dict[str, Batch]:
        """The current batches that ``stage`` reads, by stage, under ``config`` if given; an optional one only where
        it is there.

        Raises ArtefactError where one is missing, damaged, or was made from another batch than the
        current one: vectors of two trainings are never mixed.
        """
        about = ALL_STAGES[stage] if config is None else config.stage(stage)
        wanted = (name for name in about.upstream if name not in about.optional or self.has(name))
        named = config.towers.user_vectors if config is not None and stage == "towers" else ()
        batches = {name: self._current_of(name, named) for name in wanted}
        for batch in batches.values():
            for name, used in batch.manifest.upstream.items():
                if name in batches and used != batches[name].id:
                    raise _mixed(batch, batches[name], used)
        return batches

    def _current_of(self, stage: str, named: tuple[str, ...]) -> Batch:
        """As ``current``; of a stage of user vectors that are ``named``, an error says which name lacks them."""
        lacking = [] if self.has(stage) else [name for name in named if vector_stage(name) == stage]
        if lacking:
            trained = (name for name in ENCODERS if self.has(name))
            raise no_user_vectors(lacking[0], named, str(self.root), trained)
        return self.current(stage)

    def finished(self, spec: StageSpec) -> Batch | None:
        """The batch of ``spec`` if it was made before (and makes it current); None if it is still to do."""
        folder = self.stage_dir(spec.stage) / spec.batch_id
        if not folder.is_dir():
            return None
        batch = Batch.open(folder)
        self.rotate(batch)
        return batch

    @contextlib.contextmanager
    def begin(self, spec: StageSpec) -> Iterator[StageWork]:
        """A locked partial folder for ``spec``, emptied but for its checkpoints.

        The folder stays behind when the work fails, so that the next run can resume from its checkpoints.
        Raises WorkspaceError where the workspace cannot be written or another process is at this stage.
        """
        stage_dir = self.stage_dir(spec.stage)
        folder = stage_dir / f".partial-{spec.batch_id}"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock = (stage_dir / ".lock").open("w")
        except OSError as error:
            raise WorkspaceError(
                "the workspace cannot be written",
                where=str(stage_dir),
                found=str(error),
                fix="choose another folder with --workspace",
            ) from error
        with lock:
            _lock(lock, stage_dir)
            folder.mkdir(exist_ok=True)  # another process may have finished the same batch just now
            for stale in stage_dir.glob(".partial-*"):
                if stale != folder:
                    shutil.rmtree(stale)
            for child in folder.iterdir():
                if child.name != "checkpoint":
                    shutil.rmtree(child) if child.is_dir() else child.unlink()
            yield StageWork(spec, folder, self.rotate)

    def rotate(self, batch: Batch) -> None:
        """Make ``batch`` current and the former current one legacy, in one atomic step; older ones go."""
        stage_dir = self.stage_dir(batch.manifest.stage)
        before = self.rotation(batch.manifest.stage)
        if before["current"] == batch.id:
            return
        after = {"current": batch.id, "legacy": before["current"]}
        write_synced(stage_dir / (ROTATION + ".new"), json.dumps(after))
        (stage_dir / (ROTATION + ".new")).rename(stage_dir / ROTATION)
        fsync(stage_dir)
        for old in stage_dir.iterdir():
            if old.is_dir() and not old.name.startswith(".") and old.name not in after.values():
                shutil.rmtree(old)


def _mixed(batch: Batch, given: Batch, used: str) -> ArtefactError:
    stage, other = batch.manifest.stage, given.manifest.stage
    space = f", space {given.manifest.space_id}" if given.manifest.space_id else ""
    return ArtefactError(
        f"the current {stage} was made from another {other} batch than the current one",
        where=str(batch.folder),
        expected=f"{other} batch {used}, as its manifest says",
        found=f"{other} batch {given.id}{space}",
        fix=f"run `{ALL_STAGES[stage].command}` again",
    )


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:
        shutil.copy2(source, target)


def _lock(lock: IO[str], stage_dir: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise WorkspaceError(
            "another graphkit process is writing this stage",
            where=str(stage_dir),
            fix="wait for it, or stop it",
        ) from None
