"""Weights of the strongest co-listening edges, learned: each item is a ridge regression on its neighbours.

For an item j with the neighbours N, w = (G_NN + l2 I)^-1 G_Nj, where G = X'X counts the users that two items share:
EASE (Steck 2019) held to the edges of the graph, or SLIM on a chosen support (Ning and Karypis 2011, fsSLIM).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse
from threadpoolctl import threadpool_limits

from graphkit.compiled import compiled
from graphkit.evaluation.peers.item_knn import Similarity, fit_item_knn
from graphkit.evaluation.peers.rows import over_rows
from graphkit.evaluation.peers.train_data import TrainData
from graphkit.evaluation.recommender import Floats

#: Which edges are the strongest: n_ij / (n_i^0.3 n_j^0.7 + 10) from i to j. Sources of many users speak more often
#: than the cosine lets them, which is what a type of few users needs; a pair of few users is shrunk.
_SHRINKAGE: Final = 10.0
_TARGET_EXPONENT: Final = 0.7
#: What a pair of items takes while it is counted: a column and a count, with as much again for sorting them.
_BYTES_PER_PAIR: Final = 16
#: The residual of a solution, over that of no weights at all.
_PRECISION: Final = 1e-6


def strongest_edges(train: TrainData, neighbours: int, threads: int) -> dict[str, Any]:
    """Per target type, the ``neighbours`` items of each type that are the strongest for each of its items.

    Sparse float32 CSC [all items, num_items] of asymmetric cosines (Aiolli 2013), source items ascending. Of equal
    ones those of the items with more users stay.
    """
    strength = Similarity(_SHRINKAGE, neighbours, target_exponent=_TARGET_EXPONENT)
    similarity = fit_item_knn(train.likes, train.targets, strength, threads).similarity
    count = np.diff(train.all_likes.tocsc().indptr)
    bounds = np.array([columns.stop for columns in train.columns.values()])
    return {name: _capped(matrix.tocoo(), count, bounds, neighbours) for name, matrix in similarity.items()}


def across(edges: dict[str, Any], columns: dict[str, slice]) -> dict[str, Any]:
    """``edges`` without those within a type: what can speak for an item to a user who met none of its type.

    A cold user has no item of the type, so weights that share the credit with such items would be too small.
    """
    found = {}
    for name, matrix in edges.items():
        coo = matrix.tocoo()
        source, target = coo.coords
        other = (source < columns[name].start) | (source >= columns[name].stop)
        found[name] = sparse.csc_array((coo.data[other], (source[other], target[other])), shape=matrix.shape)
    return found


def _capped(edges: Any, count: npt.NDArray[Any], bounds: npt.NDArray[Any], most: int) -> Any:
    """``edges`` without those that a tie let in beyond ``most`` per item and source type."""
    source, target = edges.coords
    kind = np.searchsorted(bounds, source, side="right")
    order = np.lexsort((-count[source], -edges.data, kind, target))
    group = (target.astype(np.int64) * len(bounds) + kind)[order]
    place = np.arange(len(group)) - np.searchsorted(group, group)
    kept = order[place < most]
    return sparse.csc_array((edges.data[kept], (source[kept], target[kept])), shape=edges.shape)


class SharedUsers(NamedTuple):
    """How many users each item shares with each other one: a CSR [all items, all items], columns ascending."""

    indptr: npt.NDArray[np.integer]
    columns: npt.NDArray[np.integer]
    users: Floats
    counted: float = 1.0  # the share of users that were counted; ``users`` stand for all of them


def count_shared(train: TrainData, memory_bytes: int, seed: int) -> SharedUsers:
    """Count the users of every pair of items, of a seeded sample of users where all could take more memory."""
    likes, num_users = train.all_likes, train.num_users
    most = memory_bytes // _BYTES_PER_PAIR
    pairs = np.diff(likes.indptr).astype(np.int64) ** 2
    counted = 1.0
    if min(int(pairs.sum()), likes.shape[1] ** 2) > most:
        order = np.random.default_rng(seed).permutation(num_users)
        size = max(1, int(np.searchsorted(np.cumsum(pairs[order]), most, side="right")))
        likes, counted = likes[np.sort(order[:size])], size / num_users
    shared = likes.T.tocsr() @ likes  # of two CSR a CSR, which is not turned round and so not held twice
    shared.sort_indices()
    shared.data /= np.float32(counted)
    return SharedUsers(shared.indptr, shared.indices, shared.data, counted)


def ridge_weights(
    shared: SharedUsers,
    edges: dict[str, Any],
    columns: Mapping[str, slice],
    l2s: Sequence[float],
    threads: int,
) -> list[dict[str, Any]]:
    """The weight of every edge under each of ``l2s``: sparse float32 CSR [all items, num_items] per target type.

    ``columns`` says where each type's items stand among all.
    """
    found: list[dict[str, Any]] = [{} for _ in l2s]
    for name, support in edges.items():
        weights = _solved(shared, columns[name].start, support, np.asarray(l2s, np.float64), threads)
        for number in range(len(l2s)):
            matrix = sparse.csc_array((weights[number], support.indices, support.indptr), shape=support.shape)
            found[number][name] = sparse.csr_array(matrix)
    return found


def _solved(shared: SharedUsers, first_item: int, edges: Any, l2s: npt.NDArray[np.float64], threads: int) -> Floats:
    """The weights float32 [len(l2s), num_edges] of the ``edges`` into the items from ``first_item`` on."""
    out = np.zeros((len(l2s), edges.nnz), np.float32)

    def solve(first: int, last: int) -> None:
        _ridge(shared, first_item, edges.indptr, edges.indices, l2s, first, last, out)

    with threadpool_limits(1, "blas"):
        over_rows(solve, edges.indptr, threads)
    return out


@compiled
def _ridge(shared: Any, first_item: int, ends: Any, sources: Any, l2s: Any, first: int, last: int, out: Any) -> None:
    """Solve the items from ``first`` to ``last``, each under one regularisation from the solution under another."""
    for item in range(first, last):
        near = sources[ends[item] : ends[item + 1]]
        size = len(near)
        gram, wanted, weights = np.zeros((size, size)), np.zeros(size), np.zeros(size)
        for a in range(size):
            start, stop = shared.indptr[near[a]], shared.indptr[near[a] + 1]
            row, users = shared.columns[start:stop], shared.users[start:stop]
            at = np.searchsorted(row, first_item + item)
            if at < len(row) and row[at] == first_item + item:
                wanted[a] = users[at]
            for b in range(a + 1):
                at = np.searchsorted(row, near[b])
                if at < len(row) and row[at] == near[b]:
                    gram[a, b] = gram[b, a] = users[at]
        for number in range(len(l2s)):
            _conjugate_gradients(gram, l2s[number], wanted, weights)
            out[number, ends[item] : ends[item + 1]] = weights


@compiled
def _conjugate_gradients(gram: Any, l2: float, wanted: Any, weights: Any) -> None:
    """Solve (gram + l2 I) weights = wanted in place, scaled by the diagonal."""
    diagonal = np.diag(gram) + l2
    rest = wanted - np.dot(gram, weights) - l2 * weights
    scaled = rest / diagonal
    along = scaled.copy()
    left, enough = np.dot(rest, scaled), _PRECISION**2 * np.dot(wanted, wanted / diagonal)
    for _ in range(2 * len(wanted)):  # as many as there are unknowns would do without rounding
        if left <= enough:
            break
        turned = np.dot(gram, along) + l2 * along
        step = left / np.dot(along, turned)
        weights += step * along
        rest -= step * turned
        scaled = rest / diagonal
        before, left = left, np.dot(rest, scaled)
        along = scaled + left / before * along
