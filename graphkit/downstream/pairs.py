"""Examples of pair tasks: a user and an item, and whether the one meets the other."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.downstream.catalogue import Catalogue
from graphkit.downstream.panel import sample_users
from graphkit.ties import tie_order

#: Draws after which a user who meets (nearly) a whole type is given what was drawn last.
_ROUNDS = 100

Longs = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Pairs:
    """Examples as of a moment (``fit`` or ``serve``)."""

    moment: str
    users: Longs  # [n]
    items: Longs  # [n] rows of the catalogue
    labels: Bools  # [n]

    def of(self, users: Bools) -> Pairs:
        """Those of the users who are True: ``users`` is bool [num_users]."""
        keep = users[self.users]
        return Pairs(self.moment, self.users[keep], self.items[keep], self.labels[keep])


def sample_positives(pairs: pl.DataFrame, max_per_user: int, max_users: int, seed: int) -> pl.DataFrame:
    """At most ``max_per_user`` rows (``user``, ``item``) of each of at most ``max_users`` users, by seeded hashes."""
    chosen = sample_users(pairs[schemas.USER].unique().sort().to_numpy(), max_users, seed)
    kept = pairs.filter(pl.col(schemas.USER).is_in(chosen.tolist()))
    keys = kept[schemas.USER].to_numpy().astype(np.uint64) * np.uint64(2**32) + kept[schemas.ITEM].to_numpy().astype(
        np.uint64
    )
    drawn = kept.with_columns(pl.Series("drawn", tie_order(keys, seed))).sort(schemas.USER, "drawn")
    return drawn.group_by(schemas.USER, maintain_order=True).head(max_per_user).drop("drawn")


def with_negatives(
    moment: str,
    positives: pl.DataFrame,
    barred: pl.DataFrame,
    catalogue: Catalogue,
    rng: np.random.Generator,
    times: int = 1,
) -> Pairs:
    """Each positive (``user``, ``item``), then ``times`` random items of its type, all with equal chances, that are
    not among the user's ``barred`` (``user``, ``item``)."""
    users, items = (positives[name].to_numpy().astype(np.int64) for name in (schemas.USER, schemas.ITEM))
    drawn = draw_others(np.tile(users, times), np.tile(items, times), barred, catalogue, rng)
    labels = np.repeat([True, False], [len(users), times * len(users)])
    return Pairs(moment, np.tile(users, 1 + times), np.concatenate([items, drawn]), labels)


def draw_others(
    users: Longs, items: Longs, barred: pl.DataFrame, catalogue: Catalogue, rng: np.random.Generator
) -> Longs:
    """For each (user, item) another item of the item's type, none of the user's ``barred``: int64 [n]."""
    known = np.sort(_keys(barred[schemas.USER].to_numpy(), barred[schemas.ITEM].to_numpy(), catalogue.size))
    kind = catalogue.type_of[items]
    low = np.array(list(catalogue.starts.values()))[kind]
    high = low + np.array(list(catalogue.num_items.values()))[kind]
    drawn = rng.integers(low, high)
    for _ in range(_ROUNDS):
        keys = _keys(users, drawn, catalogue.size)
        wrong = drawn == items
        if len(known):
            wrong |= known[np.minimum(np.searchsorted(known, keys), len(known) - 1)] == keys
        if not wrong.any():
            break
        drawn[wrong] = rng.integers(low[wrong], high[wrong])
    return drawn


def _keys(users: npt.NDArray[np.integer], items: npt.NDArray[np.integer], size: int) -> Longs:
    keys: Longs = users.astype(np.int64) * size + items
    return keys
