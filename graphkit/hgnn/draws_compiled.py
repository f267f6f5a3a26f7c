"""``draws.in_edge_positions`` as a compiled loop: the same numbers, tens of times as fast on a CPU."""

from __future__ import annotations

from typing import Any

import numpy as np

from graphkit.compiled import compiled


def in_edge_positions(indptr: Any, dst: Any, excluded: Any, fan_out: int, key: int) -> tuple[Any, Any]:
    """(int64 [len(dst) + 1], int64 [num_drawn]); an empty ``excluded`` excludes nothing."""
    degree = indptr[dst + 1] - indptr[dst]
    room = int(np.minimum(degree, fan_out).sum())
    crowded = int(min(fan_out, degree.max(initial=0)))
    return _draw(
        indptr, dst, excluded, fan_out, np.uint64(key), np.empty(room, np.int64), np.empty(crowded, np.int64)
    )


@compiled
def _draw(
    indptr: Any, dst: Any, excluded: Any, fan_out: int, key: Any, positions: Any, chosen: Any
) -> tuple[Any, Any]:
    ends = np.zeros(len(dst) + 1, np.int64)
    used = 0
    for row in range(len(dst)):
        node = dst[row]
        start, degree = indptr[node], indptr[node + 1] - indptr[node]
        taken = min(fan_out, degree)
        for i in range(taken):
            offset = i
            if degree > fan_out:  # Floyd's algorithm
                last = degree - fan_out + i
                offset = int(_uniform(key, node, i) * (last + 1))
                for j in range(i):
                    if chosen[j] == offset:
                        offset = last
                        break
                chosen[i] = offset
            position = start + offset
            if len(excluded) == 0 or not excluded[position]:
                positions[used] = position
                used += 1
        ends[row + 1] = used
    return ends, positions[:used]


@compiled
def _uniform(key: Any, node: int, count: int) -> float:
    z = key + np.uint64(node) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(count) * np.uint64(0xD1B54A32D192ED03)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return float(z >> np.uint64(11)) * 2.0**-53
