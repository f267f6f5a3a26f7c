"""User features: pooled item embeddings of a user's history, and categorical features.

The one code path from histories to the user tower's inputs: training, evaluation and serving all call it,
so a served vector is the vector that was trained. numpy alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict
from safetensors.numpy import load_file, save_file

STRONG: Final = "strong"
WEAK: Final = "weak"
#: Up to so many users are pooled by numpy alone.
_FEW_USERS: Final = 16
#: Categorical slot of a value that was missing or not seen in training.
UNKNOWN: Final = 0

Ints = npt.NDArray[np.integer]
Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


class Pool(NamedTuple):
    """One pooled block: the items of ``item_type`` that the user met through ``group`` signals."""

    item_type: str
    group: str

    @property
    def name(self) -> str:
        return f"{self.item_type}/{self.group}"


@dataclass(frozen=True)
class History:
    """Distinct items per user, oldest first: those of user ``u`` are ``items[indptr[u]:indptr[u + 1]]``."""

    indptr: npt.NDArray[np.int64]  # [num_users + 1]
    items: npt.NDArray[np.int32]  # [num_pairs]

    @property
    def num_users(self) -> int:
        return len(self.indptr) - 1

    def of(self, user: int) -> npt.NDArray[np.int32]:
        """The items of one user, oldest first."""
        return self.items[self.indptr[user] : self.indptr[user + 1]]

    def pairs(self, users: Ints) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        """``(row, item)`` of every history entry of ``users``; ``row`` counts along ``users``."""
        start = self.indptr[users]
        length = self.indptr[users + 1] - start
        row = np.repeat(np.arange(len(users)), length)
        offset = np.arange(len(row)) - np.repeat(np.cumsum(length) - length, length)
        return row, self.items[start[row] + offset]


Histories = dict[Pool, History]


class FeatureSpec(BaseModel):
    """The user tower's input signature: saved beside the model, read by whoever feeds it.

    ``categorical`` maps a feature (``country``, ``age``) to its vocabulary; value ``v`` has the id
    ``1 + vocabulary.index(v)``, anything else has 0. Ages are binned by ``age_edges`` first. ``embedding_dim`` is the
    width of the item vectors that are pooled; without ``counts`` a pool is their mean alone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    pools: tuple[Pool, ...]
    embedding_dim: int
    counts: bool = True
    categorical: dict[str, tuple[str, ...]] = {}
    age_edges: tuple[int, ...] = (18, 25, 30, 35, 45, 55, 65)

    @property
    def pool_widths(self) -> tuple[int, ...]:
        """Widths of a pool's blocks: the mean vector and, if it counts, the log count."""
        return (self.embedding_dim, 1) if self.counts else (self.embedding_dim,)

    @property
    def pooled_dim(self) -> int:
        """Width of the dense input: every pool's blocks side by side."""
        return len(self.pools) * sum(self.pool_widths)

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
    """The user tower's two inputs."""

    pooled: Floats  # [n, spec.pooled_dim]
    categorical: npt.NDArray[np.int32]  # [n, len(spec.categorical)]


@dataclass(frozen=True)
class UserFeatures:
    """Builds the user tower's inputs from histories, the items' vectors and a categorical table.

    ``histories`` may hold more than ``spec.pools``, which alone are pooled; ``embeddings`` maps an item type to
    float32 [num_items, dim]; ``categorical`` is int32 [num_users, num_features] in the order of ``spec.categorical``.
    """

    spec: FeatureSpec
    histories: Histories
    embeddings: dict[str, Floats]
    categorical: npt.NDArray[np.int32]

    def inputs(
        self, users: Ints, hide: tuple[str, Ints] | None = None, drop: tuple[str, Flags] | None = None
    ) -> UserInputs:
        """Inputs of ``users`` [n].

        ``hide = (item_type, items [n])`` takes one item a user out of its own history, under every signal: a
        training label must not see itself. ``drop = (item_type, rows [n])`` empties the whole history of the
        type in the rows that are True, which makes those users cold for it.
        """
        blocks = [self._pool(pool, users, hide, drop) for pool in self.spec.pools]
        nothing = np.zeros((len(users), 0), dtype=np.float32)  # a tower may pool nothing at all
        return UserInputs(np.concatenate([nothing, *blocks], axis=1), self.categorical[users])

    def pooled_items(self, users: Ints, hide: tuple[str, Ints] | None = None) -> npt.NDArray[np.int64]:
        """How many history items ``inputs`` pools for each of ``users``, over all pools: int64 [n]."""
        count = np.zeros(len(users), dtype=np.int64)
        for pool in self.spec.pools:
            count += np.bincount(self._met(pool, users, hide, None)[0], minlength=len(users))
        return count

    def _pool(self, pool: Pool, users: Ints, hide: tuple[str, Ints] | None, drop: tuple[str, Flags] | None) -> Floats:
        row, item = self._met(pool, users, hide, drop)
        return mean_pool(row, item, self.embeddings[pool.item_type], len(users))[:, : sum(self.spec.pool_widths)]

    def _met(
        self, pool: Pool, users: Ints, hide: tuple[str, Ints] | None, drop: tuple[str, Flags] | None
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        """``(row, item)`` of what is pooled."""
        row, item = self.histories[pool].pairs(users)
        keep = np.ones(len(row), dtype=bool)
        if hide is not None and hide[0] == pool.item_type:
            keep &= item != hide[1][row]
        if drop is not None and drop[0] == pool.item_type:
            keep &= ~drop[1][row]
        return row[keep], item[keep]


def mean_pool(row: Ints, item: Ints, vectors: Floats, num_rows: int) -> Floats:
    """Mean of ``vectors[item]`` per row, and log(1 + count) as the last column: float32 [num_rows, dim + 1].

    ``row`` is ascending. A row without items is all zeros.
    """
    count = np.bincount(row, minlength=num_rows)
    out = np.zeros((num_rows, vectors.shape[1] + 1), dtype=np.float32)
    indptr = np.concatenate([[0], np.cumsum(count)])
    sums = _weighted_sums(indptr, item, np.ones(len(item), np.float32), vectors)
    out[:, :-1] = sums / np.maximum(count, 1)[:, None]
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


def save_histories(path: Path, histories: Histories) -> None:
    """Write all histories to one safetensors file."""
    tensors: dict[str, npt.NDArray[np.generic]] = {}
    for pool, history in histories.items():
        tensors |= {f"{pool.name}/indptr": history.indptr, f"{pool.name}/items": history.items}
    save_file(tensors, path)


def load_histories(path: Path) -> Histories:
    """The histories of a file that ``save_histories`` wrote."""
    tensors = load_file(path)
    names = sorted({key.rsplit("/", 1)[0] for key in tensors})
    return {Pool(*n.rsplit("/", 1)): History(tensors[f"{n}/indptr"], tensors[f"{n}/items"]) for n in names}
