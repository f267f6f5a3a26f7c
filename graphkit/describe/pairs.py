"""Pairs drawn from who listened to what, and how much closer one kind of pair is than random pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from graphkit.describe.figures import Figure, Floats, Histogram, NotMeasurable

#: Pairs of each kind, at most (paper section 3: 10,000).
MAX_PAIRS: Final = 10_000
#: Fewer pairs than this say nothing.
MIN_PAIRS: Final = 20
_ROUNDS: Final = 8
_CANDIDATES: Final = 20_000
#: Matrix entries compared at a time (about 50 MB).
_ENTRIES: Final = 4_000_000

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Gap:
    """Mean cosine of ``pairs`` joined and as many random pairs, and the difference.

    The intervals allow for pairs that share an end (dyadic-robust, see ``mean_error``).
    """

    joined: Figure
    random: Figure
    difference: Figure
    pairs: int
    histogram: Histogram


def draw_sharing(matrix: Any, rng: np.random.Generator) -> Ints:
    """Distinct pairs of rows of a 0/1 ``matrix`` that share a column, uniformly: int64 [at most MAX_PAIRS, 2].

    A column is drawn in proportion to its pairs; a pair that shares k columns comes up k times as often, so
    it is kept with chance 1/k.
    """
    rows, columns = matrix.tocsr(), matrix.tocsc()
    size = np.diff(columns.indptr).astype(np.float64)
    chance = size * (size - 1)
    found = np.empty((0, 2), np.int64)
    if not chance.sum() > 0:
        return found
    for _ in range(_ROUNDS):
        column = rng.choice(len(size), _CANDIDATES, p=chance / chance.sum())
        pairs = _two_of(columns, column, rng)
        kept = pairs[rng.random(len(pairs)) * shared_columns(rows, pairs) < 1]
        before, found = len(found), np.unique(np.concatenate([found, np.sort(kept, axis=1)]), axis=0)
        if len(found) >= MAX_PAIRS or len(found) == before:
            break
    return found[rng.permutation(len(found))[:MAX_PAIRS]]


def _two_of(columns: Any, column: Ints, rng: np.random.Generator) -> Ints:
    """Two different rows of each of the drawn columns."""
    size = np.diff(columns.indptr)[column]
    first = (rng.random(len(column)) * size).astype(np.int64)
    second = (first + 1 + (rng.random(len(column)) * (size - 1)).astype(np.int64)) % size
    start = columns.indptr[column]
    return np.stack([columns.indices[start + first], columns.indices[start + second]], axis=1).astype(np.int64)


def draw_through(target: Any, other: Any, rng: np.random.Generator) -> Ints:
    """Distinct pairs of target items joined only through the other type: int64 [at most MAX_PAIRS, 2].

    ``target`` and ``other`` are 0/1 matrices of the same users. An item p of the other type is drawn, two of its
    users, and an item a of the one and b of the other; the pair is kept where no user has both (paper figure 2D).
    Drawn so, a pair that many paths join comes up more often: where types are dense, all pairs are joined somehow.
    """
    by_user, users_of = target.tocsr(), other.tocsc()
    items = target.T.tocsr()
    crowd = np.flatnonzero(np.diff(users_of.indptr) > 1)
    found = np.empty((0, 2), np.int64)
    if not len(crowd):
        return found
    for _ in range(_ROUNDS):
        users = _two_of(users_of, crowd[rng.integers(len(crowd), size=_CANDIDATES)], rng)
        pairs = np.stack([_any_of(by_user, users[:, 0], rng), _any_of(by_user, users[:, 1], rng)], axis=1)
        pairs = np.unique(np.sort(pairs[pairs[:, 0] != pairs[:, 1]], axis=1), axis=0)
        apart = pairs[shared_columns(items, pairs) == 0]
        before, found = len(found), np.unique(np.concatenate([found, apart]), axis=0)
        if len(found) >= MAX_PAIRS or len(found) == before:
            break
    return found[rng.permutation(len(found))[:MAX_PAIRS]]


def _any_of(rows: Any, row: Ints, rng: np.random.Generator) -> Ints:
    """A column of each of the rows ``row``, none of which is empty."""
    start, size = rows.indptr[row], np.diff(rows.indptr)[row]
    found: Ints = rows.indices[start + (rng.random(len(row)) * size).astype(np.int64)].astype(np.int64)
    return found


def draw_random(num_members: int, count: int, rng: np.random.Generator) -> Ints:
    """``count`` pairs of two different members out of ``num_members``: int64 [count, 2]."""
    first = rng.integers(num_members, size=count)
    second = (first + rng.integers(1, num_members, size=count)) % num_members
    return np.stack([first, second], axis=1)


def draw_apart(matrix: Any, count: int, rng: np.random.Generator) -> Ints:
    """Up to ``count`` random pairs of rows of a 0/1 ``matrix`` that share no column."""
    rows, found = matrix.tocsr(), np.empty((0, 2), np.int64)
    for _ in range(_ROUNDS):
        pairs = draw_random(rows.shape[0], count, rng)
        found = np.concatenate([found, pairs[shared_columns(rows, pairs) == 0]])
        if len(found) >= count:
            break
    return found[:count]


def shared_columns(rows: Any, pairs: Ints) -> Floats:
    """How many columns both rows of each pair have: float64 [num_pairs]."""
    # The rows of popular titles are long: so many of them at a time that their copies stay small.
    size = np.cumsum(np.diff(rows.indptr)[pairs].sum(axis=1))
    cuts = np.searchsorted(size, np.arange(_ENTRIES, size[-1] if len(size) else 0, _ENTRIES))
    found = [np.zeros(0)]
    for part in np.split(pairs, cuts):
        product = rows[part[:, 0]].multiply(rows[part[:, 1]])
        found.append(np.asarray(product.sum(axis=1), dtype=np.float64).ravel())
    return np.concatenate(found)


def compare(joined: Ints, joined_cosine: Floats, random: Ints, random_cosine: Floats) -> Gap | NotMeasurable:
    """How much closer the ``joined`` pairs are than the ``random`` ones."""
    for pairs, what in ((joined, "such"), (random, "random")):
        if len(pairs) < MIN_PAIRS:
            return NotMeasurable(f"only {len(pairs)} {what} pairs, {MIN_PAIRS} are needed")
    means = joined_cosine.mean(), random_cosine.mean()
    influence = (joined_cosine - means[0]) / len(joined), (random_cosine - means[1]) / len(random)
    both = np.concatenate([joined, random]), np.concatenate([influence[0], -influence[1]])
    return Gap(
        Figure.normal(float(means[0]), mean_error(joined, influence[0])),
        Figure.normal(float(means[1]), mean_error(random, influence[1])),
        Figure.normal(float(means[0] - means[1]), mean_error(*both)),
        len(joined),
        Histogram.of({"joined": joined_cosine, "random": random_cosine}),
    )


def mean_error(pairs: Ints, influence: Floats) -> float:
    """The standard error of a mean over ``pairs`` [n, 2] of which some share an end.

    ``influence`` [n] is each pair's (value - mean) / n. Dyadic-robust: Var = Σ_v (Σ_{pairs of v} e)² - Σ e²
    (Aronow, Samii & Assenova 2015), and never less than Σ e², that of independent pairs.
    """
    by_end = np.bincount(pairs.ravel(), weights=np.repeat(influence, 2))
    alone = float((influence**2).sum())
    return float(np.sqrt(max(float((by_end**2).sum()) - alone, alone)))
