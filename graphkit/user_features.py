"""User features: pooled item embeddings of a user's history, categorical features, and user vectors.

The one code path from histories to the user tower's inputs: training, evaluation and serving all call it,
so a served vector is the vector that was trained. numpy alone; scipy too where many users are pooled at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from graphkit.histories import ONBOARDING, Histories, Pool
from graphkit.user_vectors import UserVectors

#: Up to so many users are pooled by numpy alone.
_FEW_USERS: Final = 16
#: Categorical slot of a value that was missing or not seen in training.
UNKNOWN: Final = 0

Ints = npt.NDArray[np.integer]
Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


class VectorInput(BaseModel):
    """User vectors of one name: their width, and what they are multiplied by so that a value is of order one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dim: int
    scale: float


class FeatureSpec(BaseModel):
    """The user tower's input signature: saved beside the model, read by whoever feeds it.

    ``categorical`` maps a feature (``country``, ``age``) to its vocabulary; value ``v`` has the id
    ``1 + vocabulary.index(v)``, anything else has 0. Ages are binned by ``age_edges`` first. ``embedding_dim`` is the
    width of the item vectors that are pooled; without ``counts`` a pool is their mean alone. ``half_life_days``: that
    mean is weighted, an item met so much earlier counting half (None: a plain mean). ``vectors`` are the user vectors
    by name, side by side in this order.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pools: tuple[Pool, ...]
    embedding_dim: int
    counts: bool = True
    half_life_days: float | None = None
    categorical: dict[str, tuple[str, ...]] = {}
    age_edges: tuple[int, ...] = (18, 25, 30, 35, 45, 55, 65)
    vectors: dict[str, VectorInput] = {}

    @property
    def pool_widths(self) -> tuple[int, ...]:
        """Widths of a pool's blocks: the mean vector and, if it counts, the log count."""
        return (self.embedding_dim, 1) if self.counts else (self.embedding_dim,)

    @property
    def pooled_dim(self) -> int:
        """Width of the dense input: every pool's blocks side by side."""
        return len(self.pools) * sum(self.pool_widths)

    @property
    def vectors_dim(self) -> int:
        """Width of all user vectors side by side."""
        return sum(vector.dim for vector in self.vectors.values())

    def encode(self, feature: str, values: Sequence[object]) -> npt.NDArray[np.int32]:
        """Categorical ids int32 [n] of raw values (None, unseen: 0)."""
        ids = {value: i for i, value in enumerate(self.categorical[feature], start=1)}
        if feature == "age":
            values = [None if v is None else self.age_bin(int(str(v))) for v in values]
        known = [UNKNOWN if value is None else ids.get(str(value), UNKNOWN) for value in values]
        return np.array(known, dtype=np.int32)

    def age_bin(self, age: int) -> str:
        """The label of the bin an age in years falls into."""
        return str(int(np.searchsorted(self.age_edges, age, side="right")))


class UserInputs(NamedTuple):
    """The user tower's three inputs."""

    pooled: Floats  # [n, spec.pooled_dim]
    categorical: npt.NDArray[np.int32]  # [n, len(spec.categorical)]
    vectors: Floats  # [n, spec.vectors_dim], as they were made; a row of zeros: unknown


@dataclass(frozen=True)
class UserFeatures:
    """Builds the user tower's inputs from histories, the items' vectors, a categorical table and user vectors.

    ``histories`` may hold more than ``spec.pools``, which alone are pooled; ``embeddings`` maps an item type to
    float32 [num_items, dim]; ``categorical`` is int32 [num_users, num_features] in the order of ``spec.categorical``,
    ``vectors`` are in the order of ``spec.vectors``.
    """

    spec: FeatureSpec
    histories: Histories
    embeddings: dict[str, Floats]
    categorical: npt.NDArray[np.int32]
    vectors: tuple[UserVectors, ...] = ()

    def inputs(
        self, users: Ints, hide: tuple[str, Ints] | None = None, drop: tuple[str, Flags] | None = None
    ) -> UserInputs:
        """Inputs of ``users`` [n].

        ``hide = (item_type, items [n])`` takes one item a user out of its own history, under every signal, and gives
        the user vectors that do not know it: a training label must not see itself. ``drop = (item_type, rows [n])``
        empties the whole history of the type in the rows that are True, which makes those users cold for it; what
        they chose on registering stays.
        """
        blocks = [self._pool(pool, users, hide, drop) for pool in self.spec.pools]
        nothing = np.zeros((len(users), 0), dtype=np.float32)  # a tower may pool nothing at all
        return UserInputs(
            np.concatenate([nothing, *blocks], axis=1), self.categorical[users], self.known_vectors(users, hide)
        )

    def known_vectors(self, users: Ints, hide: tuple[str, Ints] | None = None) -> Floats:
        """The vectors of ``users`` [n] side by side, as ``inputs`` takes them: float32 [n, spec.vectors_dim].

        Vectors that are cross-fitted are made of other labels than the one to hide: without one they are unknown.
        """
        known = [np.zeros((len(users), 0), dtype=np.float32)]
        for vectors in self.vectors:
            if hide is not None:
                known.append(vectors.beside(hide[0], users, hide[1]))
            elif len(vectors.fit) == 1:
                known.append(vectors.fit[0][users])
            else:
                known.append(np.zeros((len(users), vectors.dim), dtype=np.float32))
        return np.concatenate(known, axis=1)

    def pooled_items(self, users: Ints, hide: tuple[str, Ints] | None = None) -> npt.NDArray[np.int64]:
        """How many history items ``inputs`` pools for each of ``users``, over all pools: int64 [n]."""
        count = np.zeros(len(users), dtype=np.int64)
        for pool in self.spec.pools:
            count += np.bincount(self._met(pool, users, hide, None)[0], minlength=len(users))
        return count

    def _pool(self, pool: Pool, users: Ints, hide: tuple[str, Ints] | None, drop: tuple[str, Flags] | None) -> Floats:
        row, place = self._met(pool, users, hide, drop)
        history, vectors = self.histories[pool], self.embeddings[pool.item_type]
        weights = None if history.weights is None else history.weights[place]
        return mean_pool(row, history.items[place], vectors, len(users), weights)[:, : sum(self.spec.pool_widths)]

    def _met(
        self, pool: Pool, users: Ints, hide: tuple[str, Ints] | None, drop: tuple[str, Flags] | None
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """``(row, place)`` of what is pooled, as ``History.entries``."""
        history = self.histories[pool]
        row, place = history.entries(users)
        keep = np.ones(len(row), dtype=bool)
        if hide is not None and hide[0] == pool.item_type:
            keep &= history.items[place] != hide[1][row]
        if drop is not None and drop[0] == pool.item_type and pool.group != ONBOARDING:
            keep &= ~drop[1][row]
        return row[keep], place[keep]


def mean_pool(row: Ints, item: Ints, vectors: Floats, num_rows: int, weights: Floats | None = None) -> Floats:
    """Mean of ``vectors[item]`` per row, and log(1 + count) as the last column: float32 [num_rows, dim + 1].

    ``row`` is ascending; ``weights`` (> 0) are what each item counts in its mean. A row without items is all zeros.
    """
    count = np.bincount(row, minlength=num_rows)
    out = np.zeros((num_rows, vectors.shape[1] + 1), dtype=np.float32)
    indptr = np.concatenate([[0], np.cumsum(count)])
    each = np.ones(len(item), np.float32) if weights is None else weights
    total = count if weights is None else np.bincount(row, weights, minlength=num_rows)
    out[:, :-1] = _weighted_sums(indptr, item, each, vectors) / np.where(count, total, 1)[:, None]
    out[:, -1] = np.log1p(count)
    return out


def _weighted_sums(indptr: Ints, item: Ints, weights: Floats, vectors: Floats) -> Floats:
    """The sum of ``weights * vectors[item]`` over each row, ``indptr[r]`` to ``indptr[r + 1]``: [num_rows, dim].

    For many users a sparse product, which reads each vector where it stands and takes a twentieth of the time; for
    few, as in serving, numpy alone, which is quicker to load and to start.
    """
    num_rows = len(indptr) - 1
    if num_rows > _FEW_USERS:
        from scipy import sparse

        product: Floats = sparse.csr_matrix((weights, item, indptr), shape=(num_rows, len(vectors))) @ vectors
        return product
    sums = np.zeros((num_rows, vectors.shape[1]), dtype=np.float32)
    full = np.flatnonzero(np.diff(indptr))
    if len(full):
        sums[full] = np.add.reduceat(vectors[item] * weights[:, None], indptr[full], axis=0)
    return sums
