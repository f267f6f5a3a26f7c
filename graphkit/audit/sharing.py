"""How many users (or playlists) two items share: counted pair by pair, never as a product of matrices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from graphkit.audit.pairs import Ints
from graphkit.compiled import compiled


@dataclass(frozen=True)
class Owners:
    """Who has each item of one type: the owners of ``i`` are ``owner[indptr[i]:indptr[i + 1]]``, each once."""

    indptr: Ints  # [num_items + 1]
    owner: npt.NDArray[np.uint32]  # [num_pairs]
    num_owners: int

    @classmethod
    def of(
        cls,
        items: npt.NDArray[np.integer[Any]],
        owners: npt.NDArray[np.integer[Any]],
        num_items: int,
        num_owners: int,
    ) -> Owners:
        """From distinct (item, owner) pairs in any order."""
        order = np.argsort(items, kind="stable")
        indptr = np.concatenate([[0], np.cumsum(np.bincount(items, minlength=num_items))])
        return cls(indptr.astype(np.int64), owners[order].astype(np.uint32), num_owners)

    def count(self, items: Ints) -> Ints:
        """Owners of each of ``items``: int64 [n]."""
        found: Ints = self.indptr[items + 1] - self.indptr[items]
        return found


def shared_owners(first: Owners, second: Owners, a: Ints, b: Ints) -> Ints:
    """Owners of both item ``a[k]`` of ``first`` and ``b[k]`` of ``second``: int64 [n].

    Costs the owners of the quieter item of each pair.
    """
    found = np.zeros(len(a), dtype=np.int64)
    quieter = first.count(a) <= second.count(b)
    for at, quiet, busy, quiet_items, busy_items in (
        (np.flatnonzero(quieter), first, second, a, b),
        (np.flatnonzero(~quieter), second, first, b, a),
    ):
        order = at[np.argsort(busy_items[at], kind="stable")]
        mark = np.full(busy.num_owners, -1, dtype=np.int64)
        found[order] = _count(
            quiet.indptr, quiet.owner, busy.indptr, busy.owner, quiet_items[order], busy_items[order], mark
        )
    return found


@compiled
def _count(
    quiet_indptr: Ints,
    quiet_owner: npt.NDArray[np.uint32],
    busy_indptr: Ints,
    busy_owner: npt.NDArray[np.uint32],
    quiet_items: Ints,
    busy_items: Ints,
    mark: Ints,
) -> Ints:
    """The shared owners of pairs sorted by their busier item, of which ``mark`` [num_owners] keeps the last."""
    found = np.zeros(len(quiet_items), np.int64)
    for pair in range(len(quiet_items)):
        busy, quiet = busy_items[pair], quiet_items[pair]
        if pair == 0 or busy != busy_items[pair - 1]:
            for at in range(busy_indptr[busy], busy_indptr[busy + 1]):
                mark[busy_owner[at]] = busy
        for at in range(quiet_indptr[quiet], quiet_indptr[quiet + 1]):
            found[pair] += mark[quiet_owner[at]] == busy
    return found
