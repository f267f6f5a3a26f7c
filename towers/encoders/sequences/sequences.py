"""Behaviours in sequences: what each user did, oldest first, in one row, or in one row per service."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Sequences:
    """Row ``r`` holds the behaviours ``indptr[r]:indptr[r + 1]``, oldest first; none is empty.

    ``items`` are rows of the catalogue (all types side by side), ``times`` milliseconds since 1970, UTC (zeros
    where nothing has a time). A row is of one user, and of one service where rows are parted by service.
    """

    indptr: Ints  # [rows + 1]
    users: Ints  # [rows], ascending
    items: Ints  # [behaviours]
    services: Ints  # [behaviours]
    times: Ints  # [behaviours]

    def __len__(self) -> int:
        return len(self.users)

    @property
    def lengths(self) -> Ints:
        return np.diff(self.indptr)

    @property
    def row_services(self) -> Ints:
        """The service of each row's first behaviour: of the row, where rows are parted by service."""
        return self.services[self.indptr[:-1]]

    def take(self, rows: Ints) -> Sequences:
        """The named rows, in that order."""
        length = self.lengths[rows]
        indptr = offsets(length)
        at = np.arange(indptr[-1]) - np.repeat(indptr[:-1] - self.indptr[:-1][rows], length)
        return Sequences(indptr, self.users[rows], self.items[at], self.services[at], self.times[at])

    def newest(self, most: int) -> Sequences:
        """The same rows, cut to their latest ``most`` behaviours."""
        keep = np.repeat(self.indptr[1:], self.lengths) - np.arange(self.indptr[-1]) <= most
        indptr = offsets(np.minimum(self.lengths, most))
        return Sequences(indptr, self.users, self.items[keep], self.services[keep], self.times[keep])

    def of_users(self, users: Ints) -> Sequences:
        """The rows of ``users`` (distinct), with ``users`` counted along the argument."""
        first, last = np.searchsorted(self.users, users), np.searchsorted(self.users, users, side="right")
        count = last - first
        place = np.repeat(np.arange(len(users)), count)
        rows = np.arange(count.sum()) - np.repeat(offsets(count)[:-1] - first, count)
        taken = self.take(rows)
        return Sequences(taken.indptr, place, taken.items, taken.services, taken.times)


def offsets(length: Ints) -> Ints:
    """Where each of some parts starts, and where the last ends: int64 [n + 1]."""
    return np.concatenate([[0], np.cumsum(length)]).astype(np.int64)


def part_into_rows(
    users: Ints, items: Ints, services: Ints, times: Ints, by_service: bool, max_behaviours: int
) -> Sequences:
    """Sequences of behaviours that come by user and oldest first.

    Of a repeated behaviour (user, service, item) the latest counts; of a row the latest ``max_behaviours``.
    """
    order = np.arange(len(users))
    keys = np.lexsort((-order, items, services, users))  # repeats side by side, the latest first
    latest = _starts(users[keys], services[keys], items[keys])
    kept = np.sort(keys[latest])
    if by_service:
        kept = kept[np.lexsort((kept, services[kept], users[kept]))]
    starts = np.flatnonzero(_starts(users[kept], services[kept]) if by_service else _starts(users[kept]))
    length = np.diff(np.append(starts, len(kept)))
    from_end = np.repeat(starts + length, length) - np.arange(len(kept))
    recent = kept[from_end <= max_behaviours]
    indptr = offsets(np.minimum(length, max_behaviours))
    return Sequences(indptr, users[kept[starts]], items[recent], services[recent], times[recent])


def _starts(*columns: Ints) -> npt.NDArray[np.bool_]:
    """Where a row differs from the one before it in any of the columns."""
    differs = np.zeros(len(columns[0]), dtype=bool)
    differs[:1] = True
    for column in columns:
        differs[1:] |= column[1:] != column[:-1]
    return differs
