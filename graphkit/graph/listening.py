"""Who listened to what in a window, as matrices: after the cap on users, with the weight of each pair."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.config.sections import GraphSection
from graphkit.graph.incidence import Incidence, incidence
from graphkit.graph.occurrences import PAIR, TYPE_CODE
from graphkit.graph.signals import WEIGHT
from graphkit.ties import tie_order

_SIZE = pl.len().over(schemas.USER)


@dataclass(frozen=True)
class Listening:
    """One window's matrices by item type, and what the cap left out.

    ``total`` is the weight of all users, N of the formulas in ``weights``.
    """

    by_type: dict[str, Incidence]
    total: float
    users: int
    users_capped: int
    pairs: int
    pairs_cut: int


def gather(
    chunks: Iterable[pl.DataFrame],
    num_users: int,
    num_items: Mapping[str, int],
    settings: GraphSection,
    seed: int,
    keep: Callable[[pl.DataFrame], None] | None = None,
) -> Listening:
    """The matrices of occurrences that come in chunks of whole users; ``keep`` is handed each chunk."""
    columns = {item_type: _Columns() for item_type in num_items}
    counts = _Counts(np.zeros(settings.max_items_per_user + 1, np.int64))
    timed = settings.max_gap_days is not None
    for chunk in chunks:
        if keep is not None:
            keep(chunk)
        pairs = _pairs(chunk, timed)
        kept = _capped(pairs, settings.max_items_per_user, seed)
        counts.add(pairs, kept)
        rows = _weighted(kept, settings.heavy_users)
        if timed:
            events = chunk.drop(WEIGHT).join(rows.drop(schemas.TIMESTAMP), on=PAIR, maintain_order="left")
            rows = events.sort(schemas.USER, TYPE_CODE, schemas.TIMESTAMP, schemas.ITEM)
        for (code,), of_type in rows.partition_by(TYPE_CODE, as_dict=True).items():
            columns[list(num_items)[code]].add(of_type)
    plain = settings.heavy_users == "equal" and not any(column.weighted for column in columns.values())
    by_type = {t: columns.pop(t).incidence((num_users, size), plain, timed) for t, size in num_items.items()}
    return Listening(
        by_type,
        counts.total(settings.heavy_users),
        users=int(counts.users_of_size.sum()),
        users_capped=counts.users_capped,
        pairs=counts.pairs,
        pairs_cut=counts.pairs_cut,
    )


@dataclass
class _Columns:
    """One type's pairs, chunk by chunk."""

    owners: list[npt.NDArray[Any]] = field(default_factory=list)
    items: list[npt.NDArray[Any]] = field(default_factory=list)
    weights: list[npt.NDArray[Any]] = field(default_factory=list)
    times: list[npt.NDArray[Any]] = field(default_factory=list)
    weighted: bool = False

    def add(self, rows: pl.DataFrame) -> None:
        self.owners.append(rows[schemas.USER].to_numpy().astype(np.int32))
        self.items.append(rows[schemas.ITEM].to_numpy().astype(np.int32))
        self.weights.append(rows[WEIGHT].to_numpy())
        self.times.append(rows[schemas.TIMESTAMP].to_physical().to_numpy())
        self.weighted |= bool((self.weights[-1] != 1).any())

    def incidence(self, shape: tuple[int, int], plain: bool, timed: bool) -> Incidence:
        weight = None if plain else _joined(self.weights, np.float32)
        time = _joined(self.times, np.int64) if timed else None
        return incidence(_joined(self.owners, np.int32), _joined(self.items, np.int32), shape, weight, time)


@dataclass
class _Counts:
    users_of_size: npt.NDArray[np.int64]  # [max_items_per_user + 1]
    users_capped: int = 0
    pairs: int = 0
    pairs_cut: int = 0

    def add(self, pairs: pl.DataFrame, kept: pl.DataFrame) -> None:
        sizes = kept.group_by(schemas.USER).len()["len"].to_numpy()
        self.users_of_size += np.bincount(sizes, minlength=len(self.users_of_size))
        self.users_capped += kept.filter("capped")[schemas.USER].n_unique()
        self.pairs += kept.height
        self.pairs_cut += pairs.height - kept.height

    def total(self, heavy_users: str) -> float:
        """N, the same whatever the chunks were."""
        sizes = pl.DataFrame({"n": np.arange(1, len(self.users_of_size))})
        weight = sizes.select(_user_weight(pl.col("n"), heavy_users)).to_series().to_numpy()
        return float((weight * self.users_of_size[1:]).sum())


def _pairs(chunk: pl.DataFrame, timed: bool) -> pl.DataFrame:
    """One row a pair: one count per user and item, of its heaviest signal, at its latest time."""
    if not timed and chunk[WEIGHT].n_unique() <= 1:
        return chunk
    return chunk.group_by(PAIR, maintain_order=True).agg(pl.col(WEIGHT).max(), pl.col(schemas.TIMESTAMP).max())


def _capped(pairs: pl.DataFrame, max_items: int, seed: int) -> pl.DataFrame:
    """Keep each user's ``max_items`` most recent items; equal (or no) times in a seeded random order.

    A user with n items makes n²/2 pairs, so a few hoarders would otherwise be most of the work. ``capped`` marks
    the users who lost some.
    """
    crowded = pairs.filter(max_items < _SIZE)
    if crowded.is_empty():
        return pairs.with_columns(pl.lit(False).alias("capped"))
    user, code, item = (crowded[name].to_numpy().astype(np.int64) for name in PAIR)
    tie = pl.Series("tie", tie_order((user << 38) ^ (code << 32) ^ item, seed))
    kept = (
        crowded.with_columns(tie)
        .sort(schemas.USER, schemas.TIMESTAMP, "tie", descending=[False, True, False], nulls_last=True)
        .filter(pl.int_range(pl.len()).over(schemas.USER) < max_items)
        .select(*pairs.columns, pl.lit(True).alias("capped"))
    )
    rest = pairs.filter(max_items >= _SIZE).with_columns(pl.lit(False).alias("capped"))
    return pl.concat([rest, kept]).sort(PAIR)


def _weighted(kept: pl.DataFrame, heavy_users: str) -> pl.DataFrame:
    """The pairs with y_ui, the signal's weight times the root of the user's."""
    if heavy_users == "equal":
        return kept
    root = _user_weight(_SIZE, heavy_users).sqrt()
    return kept.with_columns((pl.col(WEIGHT) * root).cast(pl.Float32))


def _user_weight(size: pl.Expr, heavy_users: str) -> pl.Expr:
    """a_u of a user with ``size`` items: a user with n of them is in n² / 2 pairs, and those mean less."""
    count = size.cast(pl.Float64)
    match heavy_users:
        case "log":
            return 1 / (1 + count).log(2)
        case "linear":
            return 1 / count
        case _:
            return pl.lit(1.0) + 0 * count


def _joined(parts: list[npt.NDArray[Any]], dtype: type[np.generic]) -> npt.NDArray[Any]:
    whole: npt.NDArray[Any] = np.concatenate([np.zeros(0, dtype), *parts])
    parts.clear()
    return whole
