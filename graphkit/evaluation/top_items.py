"""The best items of each user's scores: a compiled scan that keeps the best so far and looks at each score once.

Ties are broken by one seeded random order of the items, never by their row: source files are often sorted
by popularity, and a model that scores nothing must not profit from that.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from graphkit.compiled import compiled

#: Lanes to estimate the worst score of a list by, at the least.
_LANES: Final = 1024
#: Scores that are compared with the worst one kept at once, in the processor's wide registers.
_STEP: Final = 64

Longs = npt.NDArray[np.int64]


def tie_order(num_items: int, seed: int) -> Longs:
    """A seeded random order: where scores are equal, the item with the larger entry comes first."""
    return np.random.default_rng(seed).permutation(num_items)


def top_items(
    scores: npt.NDArray[np.float32], masked: tuple[Longs, npt.NDArray[np.int32]], ties: Longs, length: int
) -> Longs:
    """The ``length`` best items of each row, best first: int64 [n, length]; -1 where none is left.

    ``scores`` float32 [n, num_items] are finite; ``masked`` are (rows, items) never to be listed, by row and
    then item; ``ties`` is ``tie_order``.
    """
    rows, items = masked
    start = np.searchsorted(rows, np.arange(len(scores) + 1))
    found = np.full((len(scores), length), -1, dtype=np.int64)
    _scan(np.ascontiguousarray(scores, dtype=np.float32), start, items, ties, found)
    return found


@compiled
def _scan(scores: Any, start: Any, masked: Any, ties: Any, found: Any) -> None:
    """A binary heap of the best ``length`` per row, its worst at the root; then it is emptied from the back."""
    num_rows, num_items = scores.shape
    length = found.shape[1]
    value = np.empty(length, np.float32)
    item = np.empty(length, np.int64)
    lanes = np.empty(max(_LANES, 8 * length), np.float32)
    for row in range(num_rows):
        of_row = scores[row]
        worst = _reached(of_row, lanes, length + start[row + 1] - start[row])
        size, first = 0, 0
        for stop in range(start[row], start[row + 1] + 1):  # the items between two that are masked
            last = masked[stop] if stop < start[row + 1] else num_items
            for begin in range(first, last, _STEP):
                part = of_row[begin : min(begin + _STEP, last)]
                hits = 0
                for score in part:
                    hits += score >= worst
                if hits == 0:  # nearly always
                    continue
                for i in range(begin, begin + len(part)):
                    score = of_row[i]
                    if score < worst:
                        continue
                    if size < length:
                        _rise(value, item, ties, size, score, i)
                        size += 1
                    elif score > worst or ties[i] > ties[item[0]]:
                        _sink(value, item, ties, size, score, i)
                    if size == length:
                        worst = value[0]
            first = last + 1
        for place in range(size - 1, -1, -1):
            found[row, place] = item[0]
            _sink(value, item, ties, place, value[place], item[place])


@compiled
def _reached(scores: Any, lanes: Any, count: int) -> Any:
    """What at least ``count`` of the scores reach: that many of the greatest of each lane do, lanes being every
    ``len(lanes)``-th score; -inf where there are too few scores to tell."""
    width = len(lanes)
    if len(scores) < 2 * width or count > width // 2:
        return np.float32(-np.inf)
    lanes[:] = scores[:width]
    for begin in range(width, len(scores) - width + 1, width):
        part = scores[begin : begin + width]
        for lane in range(width):
            lanes[lane] = max(lanes[lane], part[lane])
    return np.partition(lanes, width - count)[width - count]


@compiled
def _rise(value: Any, item: Any, ties: Any, at: int, score: Any, new: int) -> None:
    """Put an entry at the free place ``at`` and let it rise to where its parent is worse."""
    while at > 0:
        parent = (at - 1) // 2
        worse = value[parent] < score or (value[parent] == score and ties[item[parent]] < ties[new])
        if worse:
            break
        value[at], item[at] = value[parent], item[parent]
        at = parent
    value[at], item[at] = score, new


@compiled
def _sink(value: Any, item: Any, ties: Any, size: int, score: Any, new: int) -> None:
    """Replace the root of a heap of ``size`` by an entry and let it sink to where its children are better."""
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        right = child + 1
        if right < size and (
            value[right] < value[child] or (value[right] == value[child] and ties[item[right]] < ties[item[child]])
        ):
            child = right
        better = value[child] > score or (value[child] == score and ties[item[child]] > ties[new])
        if better:
            break
        value[at], item[at] = value[child], item[child]
        at = child
    value[at], item[at] = score, new
