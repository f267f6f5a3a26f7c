"""Batches: every stage writes one folder of plain files with a manifest, atomically.

A stage's folder is ``<workspace>/<stage>/<batch_id>/``. The batch id is a fingerprint of what the batch is
made from (resolved settings, upstream batches, source files), so the same inputs give the same id and an
up-to-date stage is recognised by its name alone. ``content_hash`` is the fingerprint of what came out.

A batch is written under ``.partial-<batch_id>``, fsynced, renamed, and only then made ``current``; a kill
at any point leaves either the partial folder (removed or resumed by the next run) or a whole batch.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import resource
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import IO, Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from graphkit.config import Config
from graphkit.config.base import Section
from graphkit.errors import ArtefactError, WorkspaceError
from graphkit.stages import STAGES

SCHEMA_VERSION: Final = 1
MANIFEST: Final = "manifest.json"
ROTATION: Final = "rotation.json"
_PACKAGES: Final = (
    "graphkit",
    "numpy",
    "polars",
    "torch",
    "dgl",
    "tensorflow",
    "keras",
    "annoy",
    "onnxruntime",
)


class Manifest(BaseModel):
    """What a batch is, what it was made from, what it cost, and the hash of each of its files."""

    model_config = ConfigDict(extra="forbid")

    schema_version: int = SCHEMA_VERSION
    stage: str
    batch_id: str
    upstream: dict[str, str]
    settings: dict[str, Any]
    settings_hash: str
    inputs: dict[str, str]
    snapshot_id: str
    space_id: str | None = None
    data_window: dict[str, str | None] = {}
    row_counts: dict[str, int] = {}
    metrics: dict[str, Any] = {}
    files: dict[str, str]
    device: str = "cpu"
    seed: int
    packages: dict[str, str]
    python: str
    created_at: str
    wall_seconds: float
    peak_memory_bytes: int


@dataclass(frozen=True)
class Batch:
    """A finished batch: its folder and its manifest."""

    folder: Path
    manifest: Manifest

    @property
    def id(self) -> str:
        return self.manifest.batch_id

    @property
    def content_hash(self) -> str:
        """Equal for two batches exactly when all their files are equal."""
        return fingerprint(self.manifest.files)

    def path(self, name: str) -> Path:
        """The file ``name`` of this batch."""
        return self.folder / name

    @classmethod
    def open(cls, folder: Path) -> Batch:
        """Read a batch and check every file against its hash; raises ArtefactError, naming the first bad one."""
        path = folder / MANIFEST
        try:
            manifest = Manifest.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise ArtefactError("not a graphkit batch: no manifest", where=str(path), fix=_redo(folder)) from None
        except (ValidationError, UnicodeDecodeError) as error:
            raise ArtefactError(
                "the manifest cannot be read",
                where=str(path),
                found=str(error).splitlines()[0],
                fix=_redo(folder),
            ) from None
        if manifest.schema_version != SCHEMA_VERSION:
            raise ArtefactError(
                "the batch was written by another version of graphkit",
                where=str(path),
                expected=f"schema version {SCHEMA_VERSION}",
                found=f"schema version {manifest.schema_version}",
                fix=_redo(folder),
            )
        for name, digest in manifest.files.items():
            _check_file(folder, name, digest)
        return cls(folder, manifest)


@dataclass(frozen=True)
class StageSpec:
    """What a batch is made from: enough to know its id before any work is done.

    ``settings`` are the config sections the stage reads; ``inputs`` names source files with their hashes.
    """

    stage: str
    settings: dict[str, Any]
    seed: int
    upstream: tuple[Batch, ...] = ()
    inputs: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        stage: str,
        config: Config,
        upstream: Iterable[Batch] = (),
        inputs: Mapping[str, str] | None = None,
    ) -> StageSpec:
        """The spec of ``stage`` under ``config``, made from ``upstream`` batches and source files ``inputs``."""
        names = ("run", *STAGES[stage].sections)
        chosen: dict[str, Section] = {name: getattr(config, name) for name in names}
        settings = {name: section.model_dump(mode="json") for name, section in chosen.items()}
        return cls(stage, settings, config.run.seed, tuple(upstream), dict(inputs or {}))

    @property
    def upstream_ids(self) -> dict[str, str]:
        return {batch.manifest.stage: batch.id for batch in self.upstream}

    @property
    def batch_id(self) -> str:
        parts = (
            SCHEMA_VERSION,
            _version("graphkit"),
            self.stage,
            self.settings,
            self.upstream_ids,
            self.inputs,
        )
        return fingerprint(parts)[:12]


class StageWork:
    """A batch being written. Fill ``folder`` (and the fields below), then ``commit``."""

    def __init__(self, workspace: Workspace, spec: StageSpec, folder: Path) -> None:
        self.workspace, self.spec, self.folder = workspace, spec, folder
        #: Survives a kill, is gone from the finished batch: where a training loop keeps what it resumes from.
        self.checkpoint_dir = folder / "checkpoint"
        self.snapshot_id: str | None = None
        self.space_id: str | None = None
        self.device = "cpu"
        self.data_window: dict[str, str | None] = {}
        self.row_counts: dict[str, int] = {}
        self.metrics: dict[str, Any] = {}
        self._started = time.perf_counter()

    def path(self, name: str) -> Path:
        """A path for the file ``name``, its folders made."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def commit(self) -> Batch:
        """Hash, fsync and rename the folder, and make the batch its stage's current one."""
        shutil.rmtree(self.checkpoint_dir, ignore_errors=True)
        files = {str(p.relative_to(self.folder)): p for p in sorted(self.folder.rglob("*")) if p.is_file()}
        for path in files.values():
            _fsync(path)
        manifest = self._manifest({name: sha256_file(path) for name, path in files.items()})
        _write_synced(self.folder / MANIFEST, manifest.model_dump_json(indent=1))
        final = self.workspace.stage_dir(self.spec.stage) / self.spec.batch_id
        if final.exists():  # it was refused as damaged, or this work would not have begun
            shutil.rmtree(final)
        self.folder.rename(final)
        _fsync(final.parent)
        batch = Batch(final, manifest)
        self.workspace.rotate(batch)
        return batch

    def _manifest(self, hashes: dict[str, str]) -> Manifest:
        spec = self.spec
        upstream_snapshot = next((b.manifest.snapshot_id for b in spec.upstream), None)
        return Manifest(
            stage=spec.stage,
            batch_id=spec.batch_id,
            upstream=spec.upstream_ids,
            settings=spec.settings,
            settings_hash=fingerprint(spec.settings),
            inputs=spec.inputs,
            snapshot_id=self.snapshot_id or upstream_snapshot or spec.batch_id,
            space_id=self.space_id,
            data_window=self.data_window,
            row_counts=self.row_counts,
            metrics=self.metrics,
            files=hashes,
            device=self.device,
            seed=spec.seed,
            packages={name: _version(name) for name in _PACKAGES if _version(name)},
            python=platform.python_version(),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            wall_seconds=round(time.perf_counter() - self._started, 3),
            peak_memory_bytes=peak_memory_bytes(),
        )


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
                "cannot be read", where=str(path), fix=f"remove it and run `{STAGES[stage].command}`"
            ) from None

    def has(self, stage: str) -> bool:
        """Whether the stage has a current batch."""
        return self.rotation(stage)["current"] is not None

    def current(self, stage: str) -> Batch:
        """The stage's current batch, its files checked; raises ArtefactError if there is none."""
        batch_id = self.rotation(stage)["current"]
        if batch_id is None:
            raise ArtefactError(
                f"the workspace has no {stage} yet", where=str(self.root), fix=f"run `{STAGES[stage].command}` first"
            )
        return Batch.open(self.stage_dir(stage) / batch_id)

    def upstream(self, stage: str) -> dict[str, Batch]:
        """The current batches that ``stage`` reads, by stage.

        Raises ArtefactError where one is missing, damaged, or was made from another batch than the
        current one: vectors of two trainings are never mixed.
        """
        batches = {name: self.current(name) for name in STAGES[stage].upstream}
        for batch in batches.values():
            for name, used in batch.manifest.upstream.items():
                if name in batches and used != batches[name].id:
                    raise _mixed(batch, batches[name], used)
        return batches

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
            for stale in stage_dir.glob(".partial-*"):
                if stale != folder:
                    shutil.rmtree(stale)
            for child in folder.iterdir():
                if child.name != "checkpoint":
                    shutil.rmtree(child) if child.is_dir() else child.unlink()
            yield StageWork(self, spec, folder)

    def rotate(self, batch: Batch) -> None:
        """Make ``batch`` current and the former current one legacy, in one atomic step; older ones go."""
        stage_dir = self.stage_dir(batch.manifest.stage)
        before = self.rotation(batch.manifest.stage)
        if before["current"] == batch.id:
            return
        after = {"current": batch.id, "legacy": before["current"]}
        _write_synced(stage_dir / (ROTATION + ".new"), json.dumps(after))
        (stage_dir / (ROTATION + ".new")).rename(stage_dir / ROTATION)
        _fsync(stage_dir)
        for old in stage_dir.iterdir():
            if old.is_dir() and not old.name.startswith(".") and old.name not in after.values():
                shutil.rmtree(old)


def fingerprint(value: Any) -> str:
    """The sha256 of a JSON-able value, independent of key order."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()


def sha256_file(path: Path) -> str:
    """The sha256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def peak_memory_bytes() -> int:
    """The largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _check_file(folder: Path, name: str, digest: str) -> None:
    path = folder / name
    if not path.is_file():
        raise ArtefactError("a file of the batch is missing", where=str(path), fix=_redo(folder))
    found = sha256_file(path)
    if found != digest:
        raise ArtefactError(
            "a file of the batch is damaged (hash mismatch)",
            where=str(path),
            expected=f"sha256 {digest[:16]}…",
            found=f"sha256 {found[:16]}…",
            fix=_redo(folder),
        )


def _mixed(batch: Batch, given: Batch, used: str) -> ArtefactError:
    stage, other = batch.manifest.stage, given.manifest.stage
    space = f", space {given.manifest.space_id}" if given.manifest.space_id else ""
    return ArtefactError(
        f"the current {stage} was made from another {other} batch than the current one",
        where=str(batch.folder),
        expected=f"{other} batch {used}, as its manifest says",
        found=f"{other} batch {given.id}{space}",
        fix=f"run `{STAGES[stage].command}` again",
    )


def _redo(folder: Path) -> str:
    stage = STAGES.get(folder.parent.name)
    again = f" and run `{stage.command}` again" if stage else ""
    return f"remove {folder}{again}"


def _lock(lock: IO[str], stage_dir: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise WorkspaceError(
            "another graphkit process is writing this stage",
            where=str(stage_dir),
            fix="wait for it, or stop it",
        ) from None


def _write_synced(path: Path, text: str) -> None:
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def _fsync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
