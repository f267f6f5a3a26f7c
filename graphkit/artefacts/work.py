"""A batch being written: a partial folder that becomes a batch in one rename."""

from __future__ import annotations

import platform
import resource
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from graphkit.artefacts.batch import MANIFEST, Batch, Manifest
from graphkit.artefacts.disk import fingerprint, fsync, sha256_file, write_synced
from graphkit.artefacts.spec import StageSpec, version

_PACKAGES: Final = (
    "graphkit",
    "numpy",
    "numba",
    "polars",
    "torch",
    "dgl",
    "tensorflow",
    "keras",
    "annoy",
    "onnxruntime",
    "tokenizers",
)


class StageWork:
    """A batch being written. Fill ``folder`` (and the fields below), then ``commit``."""

    def __init__(self, spec: StageSpec, folder: Path, finish: Callable[[Batch], None]) -> None:
        self.spec, self.folder, self._finish = spec, folder, finish
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
        kept = (p for p in sorted(self.folder.rglob("*")) if self.checkpoint_dir not in p.parents and p.is_file())
        files = {str(path.relative_to(self.folder)): path for path in kept}
        for path in files.values():
            fsync(path)
        manifest = self._manifest({name: sha256_file(path) for name, path in files.items()})
        write_synced(self.folder / MANIFEST, manifest.model_dump_json(indent=1))
        final = self.folder.parent / self.spec.batch_id
        replaced = final.parent / f".partial-replaced-{self.spec.batch_id}"
        if final.exists():  # another process was faster; its batch stays whole until this one is in its place
            final.rename(replaced)
        self.folder.rename(final)
        fsync(final.parent)
        shutil.rmtree(final / self.checkpoint_dir.name, ignore_errors=True)
        shutil.rmtree(replaced, ignore_errors=True)
        batch = Batch(final, manifest)
        self._finish(batch)
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
            packages={name: version(name) for name in _PACKAGES if version(name)},
            python=platform.python_version(),
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            wall_seconds=round(time.perf_counter() - self._started, 3),
            peak_memory_bytes=peak_memory_bytes(),
        )


def peak_memory_bytes() -> int:
    """The largest resident size of this process so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
