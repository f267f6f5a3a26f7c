"""What users met before: items per user, apart by type and by how they were met. numpy alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

STRONG: Final = "strong"
WEAK: Final = "weak"
#: What a user chose on registering.
ONBOARDING: Final = "onboarding"

Ints = npt.NDArray[np.integer]
Floats = npt.NDArray[np.float32]
Flags = npt.NDArray[np.bool_]


def weak_group(signal: str) -> str:
    """The group of one weak signal, pooled apart from the others."""
    return f"{WEAK}.{quote(signal, safe='')}"


def is_weak(group: str) -> bool:
    """Whether a group is of weak signals: of all, or of one."""
    return group == WEAK or group.startswith(f"{WEAK}.")


def group_signals(group: str, strong: Sequence[str], weak: Sequence[str]) -> tuple[str, ...]:
    """The signals of a group of a dataset with the signals ``strong`` and ``weak``; none of ``ONBOARDING``."""
    apart = {weak_group(signal): (signal,) for signal in weak}
    return {STRONG: tuple(strong), WEAK: tuple(weak), ONBOARDING: (), **apart}[group]


class Pool(NamedTuple):
    """One pooled block: the items of ``item_type`` that the user met through ``group`` signals, or chose at first."""

    item_type: str
    group: str

    @property
    def name(self) -> str:
        return f"{self.item_type}/{self.group}"


@dataclass(frozen=True)
class History:
    """Distinct items per user, oldest first: those of user ``u`` are ``items[indptr[u]:indptr[u + 1]]``.

    ``weights`` are what each counts in a mean; None: all the same.
    """

    indptr: npt.NDArray[np.int64]  # [num_users + 1]
    items: npt.NDArray[np.int32]  # [num_pairs]
    weights: Floats | None = None  # [num_pairs]

    @property
    def num_users(self) -> int:
        return len(self.indptr) - 1

    def of(self, user: int) -> npt.NDArray[np.int32]:
        """The items of one user, oldest first."""
        return self.items[self.indptr[user] : self.indptr[user + 1]]

    def pairs(self, users: Ints) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]]:
        """``(row, item)`` of every history entry of ``users``; ``row`` counts along ``users``."""
        row, place = self.entries(users)
        return row, self.items[place]

    def entries(self, users: Ints) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """``(row, place)`` of every history entry of ``users``; ``row`` counts along ``users``, ``place`` in
        ``items``."""
        start = self.indptr[users]
        length = self.indptr[users + 1] - start
        row = np.repeat(np.arange(len(users)), length)
        offset = np.arange(len(row)) - np.repeat(np.cumsum(length) - length, length)
        return row, start[row] + offset

    def select(self, users: Ints) -> History:
        """The history of ``users``, renumbered 0..n-1."""
        row, place = self.entries(users)
        return self._taken(row, place, len(users))

    def where(self, keep: Flags) -> History:
        """The entries that are True in ``keep`` [num_pairs]."""
        row = np.repeat(np.arange(self.num_users), np.diff(self.indptr))
        return self._taken(row[keep], np.flatnonzero(keep), self.num_users)

    def _taken(self, row: Ints, place: Ints, num_rows: int) -> History:
        indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=num_rows))]).astype(np.int64)
        return History(indptr, self.items[place], None if self.weights is None else self.weights[place])


Histories = dict[Pool, History]


def save_histories(path: Path, histories: Histories) -> None:
    """Write all histories to one safetensors file."""
    tensors: dict[str, npt.NDArray[np.generic]] = {}
    for pool, history in histories.items():
        tensors |= {f"{pool.name}/indptr": history.indptr, f"{pool.name}/items": history.items}
        if history.weights is not None:
            tensors[f"{pool.name}/weights"] = history.weights
    save_file(tensors, path)


def load_histories(path: Path) -> Histories:
    """The histories of a file that ``save_histories`` wrote."""
    return named_histories(load_file(path))


def named_histories(tensors: Mapping[str, npt.NDArray[Any]]) -> Histories:
    """The histories of such a file's tensors."""
    names = sorted({key.rsplit("/", 1)[0] for key in tensors})
    return {
        Pool(*n.rsplit("/", 1)): History(tensors[f"{n}/indptr"], tensors[f"{n}/items"], tensors.get(f"{n}/weights"))
        for n in names
    }
