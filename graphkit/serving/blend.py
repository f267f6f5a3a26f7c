"""The best items of a type by the blend of two scores: along the edges, and by the towers."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from graphkit.indexes.item_index import ItemIndex

Floats = npt.NDArray[np.float32]
Items = npt.NDArray[np.int64]


def blended_top(
    index: ItemIndex, vector: Floats, edges: Floats, towers_weight: float, k: int, hidden: Items
) -> tuple[Items, Floats]:
    """The ``k`` best items that are not ``hidden``, best first, with edges / std + ``towers_weight`` * dot / std.

    ``edges`` float32 [num_items] are the scores along the edges, ``vector`` [dim] is the user's. Both spreads are
    over the whole type: that of the dot products follows from the covariance of the item vectors. Every item that an
    edge reaches is scored; of the others the index is asked for more until none left out can be among the best.
    """
    by_edges = _over_spread(edges, float(edges.std()))
    weight = _over_spread(np.float32(towers_weight), float(index.spreads(vector[None])[0]))
    reached, num_items, wanted = np.flatnonzero(edges), len(edges), k + len(hidden)
    while True:
        near, dots = index.nearest(vector, min(wanted, num_items))
        items = np.setdiff1d(np.union1d(reached, near), hidden)
        scores = (by_edges[items] + weight * index.dots(vector, items)).astype(np.float32)
        order = np.argsort(-scores, kind="stable")[:k]
        left_out = weight * dots[-1] if len(near) else -np.inf
        if len(near) == num_items or (len(order) == k and scores[order[-1]] >= left_out):
            return items[order], scores[order]
        wanted = num_items if 4 * wanted > num_items else 4 * wanted


def _over_spread(scores: Floats | np.float32, spread: float) -> Floats:
    return np.asarray(scores / spread if spread > 0 else np.zeros_like(scores), np.float32)
