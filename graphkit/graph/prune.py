"""Edge weights, and the strongest edges of each node."""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from graphkit.graph.pairs import Ints

Floats = npt.NDArray[np.float32]
#: ``strongest`` packs a destination's place in its block into 16 bits of a sort key.
MAX_BLOCK_ROWS = 2**16


def edge_weight(kind: Literal["count", "cosine"], support: Ints, src_count: Ints, dst_count: Ints) -> Floats:
    """float32 [num_edges]: the users who share both items, or that over the mean √(n_src · n_dst)."""
    if kind == "count":
        return support.astype(np.float32)
    # The product of two integers is exact, so an edge weighs the same from either end.
    return (support / np.sqrt((src_count * dst_count).astype(np.float64))).astype(np.float32)


def strongest(dst: Ints, weight: Floats, tie: npt.NDArray[np.uint64], top_k: int | None) -> npt.NDArray[np.bool_]:
    """Which in-edges are among the ``top_k`` heaviest of their destination; equals in the order of ``tie``.

    All inputs are [num_edges]; ``dst`` spans fewer than ``MAX_BLOCK_ROWS`` nodes and weights are positive.
    """
    keep = np.ones(len(dst), bool)
    if top_k is None or len(dst) == 0:
        return keep
    row = dst - dst.min()
    crowded = np.flatnonzero((np.bincount(row) > top_k)[row])
    row = row[crowded].astype(np.uint64)
    # Bits of a positive float order like the float: one integer key sorts by node, falling weight, tie.
    heavy_first = np.uint64(2**32 - 1) - weight[crowded].view(np.uint32)
    order = np.argsort(
        (row << np.uint64(48)) | (heavy_first << np.uint64(16)) | (tie[crowded] >> np.uint64(48)), kind="stable"
    )
    row = row[order]
    first = np.searchsorted(row, row)  # where each edge's destination starts
    keep[crowded[order[np.arange(len(row)) - first >= top_k]]] = False
    return keep
