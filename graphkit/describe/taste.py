"""Whether users who share an item have similar taste in the other types (paper figure 2B, observation 2)."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy import sparse

from graphkit.describe.figures import NotMeasurable
from graphkit.describe.pairs import Gap, compare, draw_random, draw_sharing
from graphkit.describe.sample import Sample

#: Width of the item vectors that taste is a mean of.
DIMENSIONS: Final = 32


def taste_similarity(sample: Sample, seed: int) -> Gap | NotMeasurable:
    """Cosine of two users' taste in the types other than the target: users sharing a target item, and any two."""
    if not sample.other_types:
        return NotMeasurable("there is one item type only, so no taste in another")
    others = sparse.hstack([sample.matrices[name] for name in sample.other_types], format="csr")
    heard = np.flatnonzero(np.diff(others.indptr))
    if len(heard) < 3:
        return NotMeasurable(f"{len(heard)} users of {sample.target} have an item of another type")
    tastes = user_tastes(others[heard], seed)
    rng = np.random.default_rng(seed)
    joined = draw_sharing(sample.matrices[sample.target][heard], rng)
    if not len(joined):
        return NotMeasurable(f"no two users share an item of {sample.target}")
    random = draw_random(len(heard), len(joined), rng)
    cosines = [(tastes[p[:, 0]] * tastes[p[:, 1]]).sum(axis=1).astype(np.float64) for p in (joined, random)]
    return compare(joined, cosines[0], random, cosines[1])


def user_tastes(matrix: Any, seed: int) -> npt.NDArray[np.float32]:
    """Unit vectors float32 [num_users, dim]: the mean of the vectors of the items a user has, none has none.

    The item vectors are the right singular vectors of the 0/1 ``matrix`` [num_users, num_items], its columns
    weighted by log((1 + users) / (1 + users of the item)) and its rows of unit length, each scaled by its
    singular value and then to unit length.
    """
    from sklearn.preprocessing import normalize
    from sklearn.utils.extmath import randomized_svd
    from threadpoolctl import threadpool_limits

    matrix = matrix[:, np.flatnonzero(matrix.sum(axis=0))]
    rarity = np.log((1 + matrix.shape[0]) / (1 + matrix.sum(axis=0))).astype(np.float32) + 1e-6
    weighted = normalize(matrix.multiply(rarity[None, :]).tocsr())
    dim = min(DIMENSIONS, *matrix.shape)
    # One thread: the same figures on every machine.
    with threadpool_limits(1):
        _, strength, vectors = randomized_svd(weighted, dim, n_iter=4, random_state=seed)
    return np.asarray(normalize(matrix @ normalize(vectors.T * strength)), dtype=np.float32)
