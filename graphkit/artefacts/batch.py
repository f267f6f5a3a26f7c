"""A finished batch: its folder, its manifest, and the check that every file is what was written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pydantic import BaseModel, ConfigDict, ValidationError

from graphkit.artefacts.disk import fingerprint, sha256_file
from graphkit.errors import ArtefactError
from graphkit.stages import ALL_STAGES

SCHEMA_VERSION: Final = 1
MANIFEST: Final = "manifest.json"


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
        batch = cls.peek(folder)
        for name, digest in batch.manifest.files.items():
            _check_file(folder, name, digest)
        return batch

    @classmethod
    def peek(cls, folder: Path) -> Batch:
        """Read a batch's manifest alone; raises ArtefactError where it cannot be read."""
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
        return cls(folder, manifest)


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


def _redo(folder: Path) -> str:
    stage = ALL_STAGES.get(folder.parent.name)
    again = f" and run `{stage.command}` again" if stage else ""
    return f"remove {folder}{again}"
