"""Bayesian personalised ranking over propagated embeddings: loss, exact gradient, negatives, Adam.

Compiled loops shared out over threads so that each number is written by one thread alone: the threads change
nothing.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from graphkit.compiled import compiled
from graphkit.evaluation.peers.rows import weighted_sums
from graphkit.parallel import map_in_order

#: A negative that the user has met is drawn again, this often at most.
REDRAWS: Final = 5
BETA_1: Final = 0.9
BETA_2: Final = 0.999
EPSILON: Final = 1e-8

Floats = npt.NDArray[np.floating]
Longs = npt.NDArray[np.int64]


class Triples(NamedTuple):
    """Nodes of users, of an item each has met, and of one they have not: int64 [n] each."""

    users: Longs
    positives: Longs
    negatives: Longs


def propagate(adjacency: Any, vectors: Floats, layers: int, threads: int) -> Floats:
    """The mean of A^k E over k = 0..layers (He et al. 2020, equations 4 and 8 with alpha_k = 1 / (layers + 1)).

    ``adjacency`` is a sparse symmetric [nodes, nodes], ``vectors`` [nodes, dim].
    """
    total, layer = vectors.copy(), vectors
    for _ in range(layers):
        layer = weighted_sums(adjacency, layer, threads)
        total += layer
    total /= layers + 1
    return total


def loss_and_gradient(
    vectors: Floats, adjacency: Any, triples: Triples, layers: int, l2: float, threads: int
) -> tuple[float, Floats]:
    """Mean BPR loss of ``triples`` and its gradient with respect to ``vectors`` [nodes, dim].

    loss = mean(-log sigmoid(e_u . (e_i - e_j))) + l2 / 2 * mean(|v_u|^2 + |v_i|^2 + |v_j|^2) (He et al. 2020,
    equation 15), e = propagate(v). As the adjacency is symmetric, the gradient propagates like the embeddings.
    """
    final = propagate(adjacency, vectors, layers, threads)
    count = len(triples.users)
    pull = np.zeros(count, dtype=vectors.dtype)
    _margins(final, *triples, pull)
    loss = float(np.logaddexp(0, -pull.astype(np.float64)).mean())
    pull = np.exp(-np.logaddexp(0, pull)) / pull.dtype.type(count)  # sigmoid(-margin) / n
    slope = np.zeros_like(final)
    dim, step = final.shape[1], -(-final.shape[1] // threads)
    spans = [(start, min(start + step, dim)) for start in range(0, dim, step)]
    list(map_in_order(lambda span: _scatter(final, *triples, pull, *span, slope), spans, threads))
    gradient = propagate(adjacency, slope, layers, threads)
    times = np.bincount(np.concatenate(triples), minlength=len(vectors))
    decay = (l2 / count * times).astype(vectors.dtype)[:, None] * vectors
    loss += float(np.einsum("ij,ij->", decay, vectors)) / 2
    gradient += decay
    return loss, gradient


class Adam:
    """Adam (Kingma & Ba 2015) on one array, in place."""

    def __init__(self, shape: tuple[int, ...], learning_rate: float) -> None:
        self.learning_rate, self.steps = learning_rate, 0
        self.mean, self.square = (np.zeros(shape, dtype=np.float32) for _ in range(2))

    def step(self, values: Floats, gradient: Floats, threads: int) -> None:
        self.steps += 1
        rate = self.learning_rate * np.sqrt(1 - BETA_2**self.steps) / (1 - BETA_1**self.steps)
        cuts = np.linspace(0, len(values), threads + 1).astype(int)
        parts = [slice(first, last) for first, last in pairwise(cuts)]

        def move(part: slice) -> None:
            _move(values[part], gradient[part], self.mean[part], self.square[part], np.float32(rate))

        list(map_in_order(move, parts, threads))


def draw_negatives(likes: Any, users: Longs, low: Longs, high: Longs, rng: np.random.Generator) -> Longs:
    """For each user an item from ``low`` to ``high`` (columns of ``likes``, sorted CSR) that they have not met.

    After ``REDRAWS`` draws a met item stands: a user may have met all there is.
    """
    drawn = rng.integers(low, high)
    known = np.empty(len(users), dtype=bool)
    for _ in range(REDRAWS):
        _are_known(likes.indptr, likes.indices, users, drawn, known)
        again = np.flatnonzero(known)
        if not len(again):
            break
        drawn[again] = rng.integers(low[again], high[again])
    return drawn


@compiled
def _are_known(indptr: Any, indices: Any, users: Any, items: Any, known: Any) -> None:
    for k in range(len(users)):
        low, high = indptr[users[k]], indptr[users[k] + 1]
        while low < high:
            middle = (low + high) // 2
            if indices[middle] < items[k]:
                low = middle + 1
            else:
                high = middle
        known[k] = low < indptr[users[k] + 1] and indices[low] == items[k]


@compiled
def _margins(final: Any, users: Any, positives: Any, negatives: Any, out: Any) -> None:
    for k in range(len(users)):
        user, positive, negative = final[users[k]], final[positives[k]], final[negatives[k]]
        total = out[k] * 0
        for d in range(len(user)):
            total += user[d] * (positive[d] - negative[d])
        out[k] = total


@compiled
def _scatter(
    final: Any, users: Any, positives: Any, negatives: Any, pull: Any, start: int, stop: int, slope: Any
) -> None:
    """Minus ``pull`` times the margin's slope, added up in the columns from ``start`` to ``stop``."""
    for k in range(len(users)):
        u, i, j, weight = users[k], positives[k], negatives[k], pull[k]
        user, positive, negative = final[u, start:stop], final[i, start:stop], final[j, start:stop]
        slope_u, slope_i, slope_j = slope[u, start:stop], slope[i, start:stop], slope[j, start:stop]
        for d in range(len(user)):
            own = weight * user[d]
            slope_u[d] -= weight * (positive[d] - negative[d])
            slope_i[d] -= own
            slope_j[d] += own


@compiled
def _move(values: Any, gradient: Any, mean: Any, square: Any, rate: Any) -> None:
    for row in range(values.shape[0]):
        value, slope, first, second = values[row], gradient[row], mean[row], square[row]
        for d in range(len(value)):
            first[d] = np.float32(BETA_1) * first[d] + np.float32(1 - BETA_1) * slope[d]
            second[d] = np.float32(BETA_2) * second[d] + np.float32(1 - BETA_2) * slope[d] * slope[d]
            value[d] -= rate * first[d] / (np.sqrt(second[d]) + np.float32(EPSILON))
