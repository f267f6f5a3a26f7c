"""The ``user-vectors`` stage, beside the chain: vectors of users from files, for ``towers.user_vectors``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from graphkit import schemas
from graphkit.artefacts import Batch, Workspace
from graphkit.datasets.store import Dataset, DatasetMeta
from graphkit.progress import say
from graphkit.stages import USER_VECTORS
from graphkit.user_vectors import save_user_vectors
from graphkit.vector_import.read import ReadVectors, read_vectors
from graphkit.vector_import.spec import import_spec
from graphkit.vectors import USER_VECTORS_FILE


def import_user_vectors(workspace: Workspace, files: Mapping[str, Path], strict: bool = False) -> Batch:
    """Import vectors of the current dataset's users, by the name that ``towers.user_vectors`` calls them.

    Each file is a table with ``user_id``, ``vector`` (a list of numbers) and, if there, ``as_of``: ``fit`` for a
    vector made before the label period, ``serve`` for one made before the cut-off. A row without it is of both.
    The batch holds the vectors of this call, no earlier ones.

    Writes ``user_vectors.safetensors`` (as ``graphkit.user_vectors``) and, where rows were refused,
    ``rejected.parquet``. Raises ArtefactError without a dataset, DataError for files that cannot be used; with
    ``strict`` for any row that cannot.
    """
    spec = import_spec(workspace, files, strict)
    if (done := workspace.finished(spec)) is not None:
        return done
    dataset = Dataset.current(workspace)
    read = read_files(dataset, files, strict)
    with workspace.begin(spec) as work:
        save_user_vectors(work.path(USER_VECTORS_FILE), *(one.vectors for one in read))
        rejected = pl.concat([one.rejected.table() for one in read])
        if rejected.height:
            rejected.write_parquet(work.path(schemas.REJECTED_FILE))
        for warning in (warnings := undated_warnings(read, dataset.meta)):
            say(f"warning: {warning}")
        work.row_counts = {"users": dataset.meta.num_users, "rejected": rejected.height}
        work.metrics = {
            "vectors": about_vectors(read),
            "rejected": reject_counts(read),
            "warnings": "; ".join(warnings),
        }
        return work.commit()


def read_files(dataset: Dataset, files: Mapping[str, Path], strict: bool) -> list[ReadVectors]:
    """The vectors of each file, by name."""
    users, timed = dataset.users(), dataset.meta.label_start is not None
    return [read_vectors(name, path, users, timed, strict) for name, path in sorted(files.items())]


def about_vectors(read: Sequence[ReadVectors]) -> list[dict[str, Any]]:
    """Per name: the width, and the users with a vector as of each moment."""
    return [
        {"name": one.vectors.name, "width": one.vectors.dim}
        | {f"users, {moment}": count for moment, count in one.known.items()}
        for one in read
    ]


def reject_counts(read: Sequence[ReadVectors]) -> dict[str, int]:
    """Rejected rows per reason, over all names."""
    counts: dict[str, int] = {}
    for one in read:
        for reason, count in one.rejected.counts().items():
            counts[reason] = counts.get(reason, 0) + count
    return counts


def undated_warnings(read: Sequence[ReadVectors], meta: DatasetMeta) -> list[str]:
    """What must be true of vectors that do not say what they are as of: graphkit cannot check it."""
    if meta.label_start is None:
        rule = "must know nothing of this dataset's interactions, or training labels leak into them"
    else:
        rule = f"must be older than {meta.label_start.isoformat()}, or training labels leak into them"
    return [
        f"{one.undated:,} vectors {one.vectors.name!r} without as_of, for training and for serving, which {rule}"
        for one in read
        if one.undated
    ]


def plan_import(workspace: Workspace, files: Mapping[str, Path], strict: bool = False) -> dict[str, Any]:
    """A dry run: the batch and its state, and what reading the files gives; raises as ``import_user_vectors``."""
    spec = import_spec(workspace, files, strict)
    dataset = Dataset.current(workspace)
    read = read_files(dataset, files, strict)
    there = (workspace.stage_dir(USER_VECTORS) / spec.batch_id).is_dir()
    return {
        "stage": USER_VECTORS,
        "reads": "dataset",
        "writes": f"{USER_VECTORS}/{spec.batch_id}",
        "state": "up to date" if there else "to do",
        "vectors": {one.vectors.name: one.vectors.dim for one in read},
        "users": {f"{one.vectors.name}, {moment}": count for one in read for moment, count in one.known.items()},
        "rejected": reject_counts(read),
        "warnings": "; ".join(undated_warnings(read, dataset.meta)),
    }
