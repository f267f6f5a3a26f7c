"""Compiled loops over the rows of a sparse matrix, shared out over threads.

Each row is added up by one thread in the order of its entries, so the number of threads changes nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from graphkit.compiled import compiled
from graphkit.evaluation.recommender import Floats
from graphkit.parallel import map_in_order

#: Shares of the work per thread: rows of one share may take longer than those of another.
SHARES_PER_THREAD: Final = 4


def row_shares(indptr: npt.NDArray[np.integer], threads: int) -> list[tuple[int, int]]:
    """Runs of rows (first, last) with about the same number of entries each."""
    num_rows, num_shares = len(indptr) - 1, threads * SHARES_PER_THREAD
    entries = np.asarray(indptr, dtype=np.int64) - indptr[0] + np.arange(num_rows + 1)  # an empty row costs too
    ends = np.searchsorted(entries, entries[-1] * np.arange(num_shares + 1) / num_shares)
    ends = np.unique(np.clip(ends, 0, num_rows))
    return [(int(first), int(last)) for first, last in pairwise(ends)]


def over_rows(work: Callable[[int, int], Any], indptr: npt.NDArray[np.integer], threads: int) -> list[Any]:
    """What ``work(first, last)`` returns for each share of the rows, in order."""
    return list(map_in_order(lambda share: work(*share), row_shares(indptr, threads), threads))


def weighted_sums(weights: Any, vectors: npt.NDArray[Any], threads: int) -> npt.NDArray[Any]:
    """``weights @ vectors``: a sparse CSR [n, m] times a dense [m, dim], in the dtype of ``vectors`` [n, dim]."""
    out = np.zeros((weights.shape[0], vectors.shape[1]), dtype=vectors.dtype)

    def add(first: int, last: int) -> None:
        _add_dense(weights.indptr, weights.indices, weights.data, vectors, 0, out, first, last)

    over_rows(add, weights.indptr, threads)
    return out


def dense_rows(weights: Any, matrix: Floats, columns: slice) -> Floats:
    """``weights @ matrix[:, columns]`` without copying the columns: float32 [n, number of columns]."""
    out = np.zeros((weights.shape[0], columns.stop - columns.start), dtype=np.float32)
    _add_dense(weights.indptr, weights.indices, weights.data, matrix, columns.start, out, 0, len(out))
    return out


def sparse_rows(weights: Any, matrix: Any) -> Floats:
    """``weights @ matrix`` of two sparse CSR, as a dense float32 [n, columns of matrix]."""
    out = np.zeros((weights.shape[0], matrix.shape[1]), dtype=np.float32)
    _add_sparse(weights.indptr, weights.indices, weights.data, matrix.indptr, matrix.indices, matrix.data, out)
    return out


@compiled
def _add_dense(
    indptr: Any, indices: Any, data: Any, vectors: Any, start: int, out: Any, first: int, last: int
) -> None:
    """out[row] += sum of data * vectors[entry, start:], for the rows from first to last."""
    for row in range(first, last):
        total = out[row]
        for entry in range(indptr[row], indptr[row + 1]):
            weight, vector = data[entry], vectors[indices[entry], start:]
            for k in range(len(total)):
                total[k] += weight * vector[k]


@compiled
def _add_sparse(indptr: Any, indices: Any, data: Any, other: Any, columns: Any, values: Any, out: Any) -> None:
    for row in range(len(out)):
        for entry in range(indptr[row], indptr[row + 1]):
            at, weight = indices[entry], data[entry]
            for k in range(other[at], other[at + 1]):
                out[row, columns[k]] += weight * values[k]
