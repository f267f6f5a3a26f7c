"""How an encoder's users become sequences: the catalogue's rows, the services, the cut. Saved beside the model."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict

from graphkit import schemas
from towers.encoders.sequences.sequences import Ints, Sequences, offsets, part_into_rows
from towers.encoders.sequences.services import Services
from towers.encoders.users import Users

LAYOUT_FILE: Final = "layout.json"
DAY_MS: Final = 86_400_000
#: Users held out for the validation loss, at most.
MAX_HELD_OUT: Final = 4096


class Layout(BaseModel):
    """``first_rows`` maps a type to the catalogue row of its item 0 (types side by side); ``signals`` are those that
    count; ``services`` is None where there are none, and every behaviour is of service 0."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    first_rows: dict[str, int]
    signals: tuple[str, ...]
    max_behaviours: int
    services: Services | None = None
    by_service: bool = False
    daily: bool = False  # a behaviour that is repeated on another day counts again

    @property
    def service_rows(self) -> dict[str, int]:
        """How many rows of training each service had, in the services' order; empty where there are none."""
        return {} if self.services is None else dict(zip(self.services.names, self.services.counts, strict=True))

    def sequences(self, users: Users, item_services: Ints | None) -> Sequences:
        """The users' sequences; ``item_services`` [num_items] is the service of each catalogue row, None where
        services are signals."""
        rows = users.rows.filter(pl.col(schemas.SIGNAL).is_in(list(self.signals)))
        items = catalogue_rows(rows, self.first_rows)
        times = rows[schemas.TIMESTAMP].to_physical().fill_null(0).to_numpy().astype(np.int64)
        services = np.zeros(len(items), np.int64)
        if self.services is not None:
            services = (
                item_services[items] if item_services is not None else self.services.codes(rows[schemas.SIGNAL])
            )
        if self.daily:
            services = times // DAY_MS
        user = rows[schemas.USER].to_numpy().astype(np.int64)
        return part_into_rows(user, items, services, times, self.by_service, self.max_behaviours)

    def save(self, folder: Path) -> None:
        (folder / LAYOUT_FILE).write_text(self.model_dump_json(indent=1), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Layout:
        return cls.model_validate_json((folder / LAYOUT_FILE).read_bytes())


def first_rows(catalogue: pl.DataFrame) -> dict[str, int]:
    """Where each type starts in a catalogue, which is sorted by type, then item."""
    counts = catalogue.group_by(schemas.ITEM_TYPE, maintain_order=True).len()
    ends = np.cumsum(counts["len"].to_numpy())
    return {t: int(end - n) for (t, n), end in zip(counts.iter_rows(), ends, strict=True)}


def catalogue_rows(rows: pl.DataFrame, first: dict[str, int]) -> Ints:
    """The catalogue row of each (``item_type``, ``item``): int64 [n]."""
    start: Ints = rows[schemas.ITEM_TYPE].replace_strict(first, return_dtype=pl.Int64).to_numpy()
    item: Ints = rows[schemas.ITEM].to_numpy().astype(np.int64)
    return start + item


def put_together(parts: Iterable[tuple[Sequences, int]]) -> Sequences:
    """The sequences of blocks of users, each with how many users its block has, in one."""
    found, first = [], 0
    for part, count in parts:
        found.append((part, first))
        first += count

    def joined(column: Callable[[Sequences], Ints]) -> Ints:
        return np.concatenate([np.zeros(0, np.int64), *(column(part) for part, _ in found)])

    lengths = joined(lambda part: part.lengths)
    users = np.concatenate([np.zeros(0, np.int64), *(part.users + at for part, at in found)])
    return Sequences(
        offsets(lengths),
        users,
        joined(lambda part: part.items),
        joined(lambda part: part.services),
        joined(lambda part: part.times),
    )


def hold_out(users: Ints, share: float, most: int, seed: int) -> tuple[Ints, Ints]:
    """``users`` in two disjoint parts, each ascending: those to train on, and a seeded ``share`` held out.

    At most ``most`` are held out and at least one; at least one is trained on where there are two.
    """
    count = min(max(round(share * len(users)), 1), most, len(users) - 1)
    held = np.zeros(len(users), dtype=bool)
    held[np.random.default_rng([seed, 1]).permutation(len(users))[:count]] = True
    return users[~held], users[held]


def sampled(users: Ints, most: int, seed: int) -> Ints:
    """A seeded sample of at most ``most`` users, ascending."""
    if len(users) <= most:
        return users
    return np.sort(np.random.default_rng([seed, 0]).permutation(users)[:most])
