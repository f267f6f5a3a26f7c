"""Edge scores of many users at once, added to the scores that the towers gave them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from graphkit.compiled import compiled
from graphkit.histories import History

Edges = tuple[npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any]]


def add_edges(
    scores: npt.NDArray[np.float32],
    rows: npt.NDArray[np.int64],
    met: History,
    users: npt.NDArray[np.int64],
    edges: Edges,
) -> npt.NDArray[np.bool_]:
    """Add to ``scores[rows]`` [n, num_items] what the edges from all that ``users`` [n] met bring, over its spread.

    ``edges`` are ``EdgeWeights.of``, ``met`` is ``EdgeWeights.all_met``. Which users' edges reach an item: bool [n].
    The same as ``EdgeScores``, without its arrays for every user.
    """
    reached = np.zeros(len(rows), dtype=bool)
    _add(scores, rows, met.indptr, met.items, users, *edges, reached)
    return reached


@compiled
def _add(
    scores: Any, rows: Any, start: Any, items: Any, users: Any, indptr: Any, indices: Any, weights: Any, reached: Any
) -> None:
    num_items = scores.shape[1]
    sums, place = np.zeros(num_items, np.float64), np.full(num_items, -1, np.int64)
    touched = np.empty(num_items, np.int64)  # items, in the order in which edges came to them
    for n in range(len(rows)):
        size = 0
        for at in range(start[users[n]], start[users[n] + 1]):
            for edge in range(indptr[items[at]], indptr[items[at] + 1]):
                item = indices[edge]
                if place[item] != n:
                    place[item], touched[size], sums[item] = n, item, 0.0
                    size += 1
                sums[item] += weights[edge]
        total, squares = 0.0, 0.0
        for t in range(size):
            value = np.float64(np.float32(sums[touched[t]]))
            total += value
            squares += value * value
            reached[n] |= value != 0
        mean = total / max(num_items, 1)
        spread = math.sqrt(max(0.0, squares / max(num_items, 1) - mean * mean))
        if spread > 0:
            for t in range(size):
                scores[rows[n], touched[t]] += np.float32(sums[touched[t]]) / np.float32(spread)
