"""User-vector artefacts: one matrix of user vectors per moment, however they were made, as the towers take them.

``user_vectors.safetensors`` of an encoder's batch holds, under the encoder's name,

``<name>/serve``     float32 [num_users, dim], from everything before the cut-off;
``<name>/fit``       the same as of the start of the label period, where the dataset has timestamps; or
``<name>/fit/<k>``   without timestamps, for k = 0..FOLDS-1: from the user's pairs that are not in fold k, so that the
                     vector beside a training label of fold k does not know the label (DESIGN 7: cross-fit);
``<name>/sign-up``   as of some hours after each new user's own registration (``graphkit.sign_ups``), where there are
                     such users; zeros for all others.

A row of zeros means that nothing is known of the user. All matrices of a name have one width.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from zlib import crc32

import numpy as np
import numpy.typing as npt
from safetensors import safe_open

from graphkit.errors import ArtefactError
from graphkit.graph.store import FIT, SERVE
from graphkit.ties import GOLDEN, mixed
from graphkit.vectors import Vectors, save_vectors

FOLDS: Final = 5
SIGN_UP: Final = "sign-up"

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.integer]


def pair_folds(item_type: str, users: Ints, items: Ints) -> npt.NDArray[np.int64]:
    """The fold 0..FOLDS-1 of each (user, item) pair of a type: a fixed hash, the same in every stage. int64 [n]."""
    pairs = users.astype(np.uint64) * GOLDEN + items.astype(np.uint64)
    return (mixed(pairs ^ np.uint64(crc32(item_type.encode()))) % np.uint64(FOLDS)).astype(np.int64)


@dataclass(frozen=True)
class UserVectors:
    """One encoder's vectors; ``fit`` has one matrix with timestamps and ``FOLDS`` without."""

    name: str
    fit: tuple[Floats, ...]  # each [num_users, dim]
    serve: Floats  # [num_users, dim]
    sign_up: Floats | None = None  # [num_users, dim]

    @property
    def dim(self) -> int:
        return int(self.serve.shape[1])

    def beside(self, item_type: str, users: Ints, items: Ints) -> Floats:
        """The vectors beside the labels (users[i], items[i]), which know nothing of them: float32 [n, dim]."""
        if len(self.fit) == 1:
            return self.fit[0][users]
        return self.of_folds(users, pair_folds(item_type, users, items))

    def of_folds(self, users: Ints, folds: npt.NDArray[np.int64]) -> Floats:
        """The vectors of ``users`` [n] that know nothing of their pairs in ``folds`` [n]: float32 [n, dim]."""
        if len(self.fit) == 1:
            return self.fit[0][users]
        out = np.empty((len(users), self.dim), np.float32)
        for fold, matrix in enumerate(self.fit):
            out[folds == fold] = matrix[users[folds == fold]]
        return out

    @property
    def served(self) -> UserVectors:
        """The same as of the cut-off: what is known beside any pair is all that is known."""
        return known_vectors(self.name, self.serve)


def known_vectors(name: str, matrix: Floats) -> UserVectors:
    """``matrix`` [num_users, dim] as all that is known at one moment, of which no label is to be hidden."""
    return UserVectors(name, (matrix,), matrix)


def digest(rows: Floats) -> npt.NDArray[np.uint64]:
    """A number for each row of a float32 matrix [n, dim] that tells rows of different bits apart: uint64 [n]."""
    factor = np.cumprod(np.full(rows.shape[1], GOLDEN), dtype=np.uint64)
    bits = np.ascontiguousarray(rows, np.float32).view(np.uint32).astype(np.uint64)
    numbers: npt.NDArray[np.uint64] = (bits * factor).sum(axis=1, dtype=np.uint64)
    return numbers


def save_user_vectors(path: Path, *vectors: UserVectors) -> None:
    """Write the vectors of one or more names to one file."""
    tensors: Vectors = {}
    for one in vectors:
        names = [f"{one.name}/{FIT}"] if len(one.fit) == 1 else [f"{one.name}/{FIT}/{k}" for k in range(len(one.fit))]
        tensors |= dict(zip(names, one.fit, strict=True)) | {f"{one.name}/{SERVE}": one.serve}
        if one.sign_up is not None:
            tensors[f"{one.name}/{SIGN_UP}"] = one.sign_up
    save_vectors(path, tensors)


def vector_names(path: Path) -> list[str]:
    """The names of the vectors in a file that ``save_user_vectors`` wrote."""
    with safe_open(path, framework="numpy") as file:
        keys = list(file.keys())
    return sorted(key.removesuffix(f"/{SERVE}") for key in keys if key.endswith(f"/{SERVE}"))


def load_user_vectors(path: Path, name: str, num_users: int, timed: bool) -> UserVectors:
    """The vectors of ``name``; raises ArtefactError where they are not those of ``num_users`` users, not finite, or
    made for a dataset with timestamps and read for one without (``timed``), or the other way round."""
    wanted = [f"{name}/{FIT}"] if timed else [f"{name}/{FIT}/{k}" for k in range(FOLDS)]
    of_sign_up = f"{name}/{SIGN_UP}"
    with safe_open(path, framework="numpy") as file:
        there = {key: file.get_slice(key).get_shape() for key in sorted(file.keys())}
        matrices = [file.get_tensor(key) for key in [*wanted, f"{name}/{SERVE}"] if key in there]
        sign_up = file.get_tensor(of_sign_up) if of_sign_up in there else None
    every = matrices if sign_up is None else [*matrices, sign_up]
    shapes = {matrix.shape for matrix in every}
    fits = len(matrices) == len(wanted) + 1 and len(shapes) == 1 and next(iter(shapes))[0] == num_users
    if not fits or not all(np.isfinite(matrix).all() for matrix in every):
        raise ArtefactError(
            f"the user vectors {name!r} do not fit the dataset",
            where=str(path),
            expected=f"finite matrices {', '.join(wanted)} and {name}/{SERVE} of {num_users} rows and one width",
            found=", ".join(f"{key} {shape}" for key, shape in there.items()) or "none",
            fix="make them again from the current dataset",
        )
    *fit, serve = matrices
    return UserVectors(name, tuple(fit), serve, sign_up)
