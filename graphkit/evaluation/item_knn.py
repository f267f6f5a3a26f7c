"""Item-kNN: cosine of co-listening with shrinkage, where every item type votes for every other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from graphkit.evaluation.recommender import Floats, Ints
from graphkit.progress import track

#: Pairs of items looked at at once; few of them share a user.
BLOCK_SIMILARITIES: Final = 8_000_000


@dataclass(frozen=True)
class ItemKnn:
    """Scores an item by the summed similarity of the user's strong train items, of every type, to it.

    ``likes`` is a sparse 0/1 matrix [num_users, all items]; ``similarity`` maps a target type to a sparse
    [all items, num_items], each column holding that item's nearest neighbours.
    """

    likes: Any
    similarity: dict[str, Any]
    name: str = "Item-kNN"

    def scores(self, users: Ints, item_type: str) -> Floats:
        """Summed similarity: float32 [n, num_items], 0 where no item of the user is a neighbour."""
        dense: Floats = (self.likes[users] @ self.similarity[item_type]).toarray()
        return dense


def fit_item_knn(likes: dict[str, Any], targets: tuple[str, ...], shrinkage: float, neighbours: int) -> ItemKnn:
    """Fit on ``likes``, sparse 0/1 matrices [num_users, num_items] per type.

    similarity(i, j) = users of both / (sqrt(users of i * users of j) + shrinkage). An item keeps its
    ``neighbours`` most similar items of each type, and any that tie with the last: kept per type, so that a
    large type does not crowd out a small one.
    """
    by_item = {item_type: matrix.tocsc() for item_type, matrix in likes.items()}
    similarity = {
        target: sparse.vstack(
            [_similar(by_item[source], by_item[target], shrinkage, neighbours, source == target) for source in likes],
            format="csr",
        )
        for target in track(targets, "item-kNN", len(targets))
    }
    return ItemKnn(sparse.hstack(list(likes.values()), format="csr"), similarity)


def _similar(source: Any, target: Any, shrinkage: float, neighbours: int, same: bool) -> Any:
    """Similarity of every source item to every target item: sparse float32 [num source, num target]."""
    num_source, num_target = source.shape[1], target.shape[1]
    source_norm, target_norm = (np.sqrt(np.diff(m.indptr)).astype(np.float32) for m in (source, target))
    by_target = target.T.tocsr()
    height = max(1, BLOCK_SIMILARITIES // max(1, num_source))
    blocks = [sparse.csr_array((0, num_source), dtype=np.float32)]
    for start in range(0, num_target, height):
        shared = (by_target[start : start + height] @ source).tocoo()  # users of both
        row, column = shared.coords
        weight = shared.data / (target_norm[start + row] * source_norm[column] + np.float32(shrinkage))
        other = start + row != column if same else np.ones(len(row), dtype=bool)
        strong = _strongest(row, weight, other, neighbours)
        blocks.append(sparse.csr_array((weight[strong], (row[strong], column[strong])), shape=shared.shape))
    return sparse.vstack(blocks, format="csr").T.tocsr()


def _strongest(row: Ints, weight: Floats, allowed: npt.NDArray[np.bool_], neighbours: int) -> npt.NDArray[np.bool_]:
    """Which entries are at least as strong as the ``neighbours``-th strongest allowed one of their row."""
    chosen = np.flatnonzero(allowed)
    order = chosen[np.lexsort((-weight[chosen], row[chosen]))]
    count = np.bincount(row[order], minlength=int(row.max(initial=-1)) + 1)
    first = np.cumsum(count) - count
    weakest = np.full(len(count), -np.inf, dtype=np.float32)
    long = np.flatnonzero(count > neighbours)
    weakest[long] = weight[order[first[long] + neighbours - 1]]
    strong: npt.NDArray[np.bool_] = allowed & (weight >= weakest[row])
    return strong
