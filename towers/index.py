"""Approximate nearest-neighbour indexes over item vectors, and how much of the exact answer they find."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from graphkit.bundle_format import IndexMeta
from graphkit.errors import GraphkitError

Floats = npt.NDArray[np.float32]

#: How far an L2 norm may be from 1.
_NORM_TOLERANCE: Final = 1e-3
#: Scores this close to the n-th best one count as found: ties have no order.
_TIE_TOLERANCE: Final = 1e-6
_QUERY_BLOCK: Final = 32


def build_index(path: Path, vectors: Floats, meta: IndexMeta, seed: int) -> None:
    """Write an Annoy index of L2-normalised ``vectors`` [num_items, dim], for which angular equals dot product.

    One build thread and a fixed seed give the same bytes every time; several threads do not. Raises
    GraphkitError for vectors that are not normalised.
    """
    from annoy import AnnoyIndex

    norms = np.linalg.norm(vectors, axis=1)
    if len(vectors) and not np.allclose(norms, 1.0, atol=_NORM_TOLERANCE):
        raise GraphkitError(
            f"item vectors of {path.stem} are not L2-normalised",
            expected="norms of 1, so that angular distance ranks as the dot product",
            found=f"norms from {norms.min():.4f} to {norms.max():.4f}",
            fix="run `graphkit train-towers` again",
        )
    index = AnnoyIndex(meta.dim, meta.metric)
    index.set_seed(seed)
    for item, vector in enumerate(vectors):
        index.add_item(item, vector)
    index.build(meta.trees, n_jobs=1)
    index.save(str(path))


def open_index(path: Path, meta: IndexMeta) -> Any:
    """The Annoy index, memory-mapped, with ``meta``'s dimension and metric: Annoy itself checks neither."""
    from annoy import AnnoyIndex

    index = AnnoyIndex(meta.dim, meta.metric)
    index.load(str(path))
    return index


def recall(index: Any, meta: IndexMeta, vectors: Floats, queries: Floats, n: int = 100) -> float:
    """Mean share of the exact top ``n`` (all items, if there are fewer) that the index finds for ``queries``."""
    n = min(n, len(vectors))
    found = 0
    for block in np.array_split(queries, math.ceil(len(queries) / _QUERY_BLOCK)):
        for query, exact in zip(block, block @ vectors.T, strict=True):  # exact: [num_items]
            nth_best = np.partition(exact, -n)[-n]
            items = index.get_nns_by_vector(query, n, search_k=meta.search_k)
            found += int(np.count_nonzero(exact[items] >= nth_best - _TIE_TOLERANCE))
    return found / (n * len(queries))
