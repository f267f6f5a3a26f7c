"""A batch as one tar file: the same batch gives the same bytes, and the file is there whole or not at all."""

from __future__ import annotations

import tarfile
from pathlib import Path

from graphkit.artefacts.batch import MANIFEST, Batch
from graphkit.artefacts.disk import fsync
from graphkit.errors import InputError


def write_tar(batch: Batch, out: Path) -> Path:
    """Write the batch to ``out`` and return it: in ``<stage>-<batch id>/``, sorted, without times and owners.

    A file that is there is replaced. Raises InputError where the folder of ``out`` is not there.
    """
    if not out.parent.is_dir():
        raise InputError(
            "the folder to write to is not there", where=str(out.parent), fix="make it, or write elsewhere"
        )
    top = f"{batch.manifest.stage}-{batch.id}"
    partial = out.with_name(f".{out.name}.partial")
    try:
        with tarfile.open(partial, "w", format=tarfile.PAX_FORMAT) as archive:
            for name in sorted([MANIFEST, *batch.manifest.files]):
                archive.add(batch.path(name), f"{top}/{name}", filter=_bare)
        fsync(partial)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return out


def _bare(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname, entry.mode = 0, 0, 0, "", "", 0o644
    return entry
