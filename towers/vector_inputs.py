"""User vectors as an input of the user tower: read from the stages that made them, checked, and their scale."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from graphkit.artefacts import Batch
from graphkit.datasets.store import DatasetMeta
from graphkit.errors import InputError
from graphkit.stages import vector_stage
from graphkit.user_features import VectorInput
from graphkit.user_vectors import UserVectors, load_user_vectors, vector_names
from graphkit.vector_names import no_user_vectors
from graphkit.vectors import USER_VECTORS_FILE


def read_vectors(upstream: Mapping[str, Batch], names: tuple[str, ...], meta: DatasetMeta) -> tuple[UserVectors, ...]:
    """The user vectors ``names``, each from the batch of the stage that makes it.

    Raises ArtefactError for a name that was not imported, and where they are not those of the dataset's users;
    InputError for vectors of which nothing is known at training time.
    """
    for name in names:
        path = upstream[vector_stage(name)].path(USER_VECTORS_FILE)
        if name not in (there := vector_names(path)):
            raise no_user_vectors(name, names, str(path), imported=there)
    return tuple(_read(upstream[vector_stage(name)], name, meta) for name in names)


def _read(batch: Batch, name: str, meta: DatasetMeta) -> UserVectors:
    path = batch.path(USER_VECTORS_FILE)
    vectors = load_user_vectors(path, name, meta.num_users, timed=meta.label_start is not None)
    if not any(matrix.any() for matrix in vectors.fit):
        raise InputError(
            f"no user has a vector {name!r} that training may use",
            where=str(path),
            expected="a vector other than zero" + (", before the label period" if meta.label_start else ""),
            found="zeros alone",
            fix="import vectors as of then (as_of = fit), or leave the name out of towers.user_vectors",
        )
    return vectors


def vector_inputs(vectors: tuple[UserVectors, ...]) -> dict[str, VectorInput]:
    """Each name's width and scale: 1 / the root mean square of what training knows, zero rows left out."""
    return {one.name: VectorInput(dim=one.dim, scale=_scale(one)) for one in vectors}


def _scale(vectors: UserVectors) -> float:
    squares = count = 0.0
    for matrix in vectors.fit:
        known = matrix[matrix.any(axis=1)].astype(np.float64)
        squares, count = squares + float(np.square(known).sum()), count + known.size
    return float(np.float32(1 / np.sqrt(squares / count)))
