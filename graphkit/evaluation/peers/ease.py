"""EASE: a linear item-item model in closed form (Steck 2019, "Embarrassingly Shallow Autoencoders")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack
from threadpoolctl import threadpool_limits

from graphkit.compiled import compiled
from graphkit.errors import GraphkitError
from graphkit.evaluation.peers.peer import Peer, Setting
from graphkit.evaluation.peers.rows import dense_rows, over_rows
from graphkit.evaluation.peers.train_data import TrainData
from graphkit.evaluation.recommender import Floats, Ints

#: Up to so many items BLAS has one thread: more of them cost more than they bring where other processes run.
SMALL: Final = 8_000
#: Rows of the matrix worked on at once beside it.
_BLOCK: Final = 1024
#: A larger matrix has more bytes than 32 bits count, where SciPy's LAPACK was seen to crash: it is cut in quarters.
LAPACK_ROWS: Final = 23_000


@dataclass(frozen=True)
class Ease:
    """Scores an item by the summed weights of the user's strong train items, of every type, to it.

    ``likes`` is a sparse 0/1 matrix [num_users, num_known] over the items with a train row, ``weights`` float32
    [num_known, num_known] with a zero diagonal, and ``known`` says per type which items they are.
    """

    likes: Any
    weights: Floats
    known: dict[str, npt.NDArray[np.bool_]]  # [num_items] per type
    name: str = "EASE"

    def scores(self, users: Ints, item_type: str) -> Floats:
        """Summed weights: float32 [n, num_items], 0 for items nobody met in train."""
        start = 0
        for name, known in self.known.items():
            if name == item_type:
                break
            start += int(known.sum())
        columns = slice(start, start + int(self.known[item_type].sum()))
        out = np.zeros((len(users), len(self.known[item_type])), dtype=np.float32)
        out[:, self.known[item_type]] = dense_rows(self.likes[users], self.weights, columns)
        return out


@dataclass(frozen=True)
class EasePeer(Peer):
    """EASE over all item types at once; ``memory_bytes`` bounds its dense matrix."""

    memory_bytes: int
    name: ClassVar = "EASE"
    what: ClassVar = "linear item-item weights of every type, in closed form (Steck 2019)"
    settings: ClassVar[tuple[Setting, ...]] = tuple(
        {"l2": value} for value in (1000, 200, 5000, 20_000, 100_000, 50, 50_000, 500, 10)
    )

    def fit(self, train: TrainData, setting: Setting, seed: int, threads: int) -> Ease:
        return fit_ease(train, setting["l2"], threads)

    def left_out(self, train: TrainData) -> str | None:
        num_known = int((np.diff(train.all_likes.tocsc().indptr) > 0).sum())
        needed = num_known**2 * 4
        if needed <= self.memory_bytes:
            return None
        return (
            f"its matrix of {num_known:,} items takes {needed / 2**30:.1f} GiB, "
            f"more than peers.memory ({self.memory_bytes / 2**30:.1f} GiB)"
        )


def fit_ease(train: TrainData, l2: float, threads: int) -> Ease:
    """B = I - P / diag(P), P = (X'X + l2 I)^-1, with a zero diagonal (Steck 2019, equation 8).

    One float32 matrix [num_known, num_known] is made and inverted in place (Cholesky).
    """
    count = np.diff(train.all_likes.tocsc().indptr)
    likes = train.all_likes[:, np.flatnonzero(count)]
    matrix = _gram(likes, threads)
    np.einsum("ii->i", matrix)[:] += np.float32(l2)
    with threadpool_limits(threads if len(matrix) > SMALL else 1, "blas"):
        _invert(matrix, l2)
    scale = -1 / np.einsum("ii->i", matrix)
    for start in range(0, len(matrix), _BLOCK):
        matrix[start : start + _BLOCK] *= scale
    np.fill_diagonal(matrix, 0)
    return Ease(likes, matrix, {name: count[columns] > 0 for name, columns in train.columns.items()})


def _gram(likes: Any, threads: int) -> Floats:
    """X'X of a sparse 0/1 X: float32 [num_items, num_items]."""
    by_item = likes.T.tocsr()
    matrix = np.zeros((by_item.shape[0],) * 2, dtype=np.float32)

    def count(first: int, last: int) -> None:
        _count_pairs(by_item.indptr, by_item.indices, likes.indptr, likes.indices, first, last, matrix)

    over_rows(count, by_item.indptr, threads)
    return matrix


def _invert(matrix: Floats, l2: float) -> None:
    """Invert a symmetric positive definite float32 matrix in place."""
    if len(matrix) > LAPACK_ROWS:
        _invert_quarters(matrix, l2)
        return
    if not len(matrix):
        return
    # LAPACK counts columns first: the transpose of a C-ordered symmetric matrix is the matrix, without a copy.
    factor, failed = lapack.spotrf(matrix.T, lower=1, overwrite_a=1, clean=0)
    if not failed:
        inverse, failed = lapack.spotri(factor, lower=1, overwrite_c=1)
    if failed:
        raise GraphkitError(
            "EASE cannot invert its matrix in 32 bits", found=f"l2 = {l2:g}", fix="leave ease out of peers.models"
        )
    assert np.shares_memory(inverse, matrix)
    for start in range(0, len(matrix), _BLOCK):  # only the upper half, as C counts, is filled
        stop = start + _BLOCK
        corner = matrix[start:stop, start:stop]
        corner[:] = np.triu(corner) + np.triu(corner, 1).T
        matrix[stop:, start:stop] = matrix[start:stop, stop:].T


def _invert_quarters(matrix: Floats, l2: float) -> None:
    """[[A, B], [B', D]]^-1 by the Schur complement of A, in place but for a copy of one quarter and of blocks."""
    half = len(matrix) // 2
    a, b, c, d = matrix[:half, :half], matrix[:half, half:], matrix[half:, :half], matrix[half:, half:]
    _invert_part(a, l2)
    for columns in _blocks(b.shape[1]):
        b[:, columns] = a @ b[:, columns]  # W = A^-1 B
    for rows in _blocks(len(d)):
        d[rows] -= c[rows] @ b  # S = D - B' W
    _invert_part(d, l2)
    for rows in _blocks(half):
        c[:, rows] = -(b[rows] @ d).T  # -S^-1 W'
    for rows in _blocks(half):
        a[rows] -= b[rows] @ c  # A^-1 + W S^-1 W'
    for rows in _blocks(half):
        b[rows] = c[:, rows].T


def _invert_part(part: Floats, l2: float) -> None:
    whole = np.ascontiguousarray(part)
    _invert(whole, l2)
    part[:] = whole


def _blocks(size: int) -> list[slice]:
    return [slice(start, start + _BLOCK) for start in range(0, size, _BLOCK)]


@compiled
def _count_pairs(ends: Any, item_users: Any, users: Any, items: Any, first: int, last: int, matrix: Any) -> None:
    for item in range(first, last):
        for at in range(ends[item], ends[item + 1]):
            user = item_users[at]
            for entry in range(users[user], users[user + 1]):
                matrix[item, items[entry]] += 1
