"""Who listened to what in a window, as matrices: after the cap on users, with the weight of each pair."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.config.sections import GraphSection
from graphkit.graph.incidence import Incidence, incidence
from graphkit.graph.memory import MemoryLimit
from graphkit.graph.occurrences import PAIR, TYPE_CODE
from graphkit.graph.signals import WEIGHT
from graphkit.ties import tie_order

_SIZE = pl.len().over(schemas.USER)
#: What a pair takes at most, from its arrival to both orders of its matrix; and an event, which has its time.
_BYTES_PER_PAIR: Final = 26
_BYTES_PER_EVENT: Final = 60


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
    limit: MemoryLimit,
    keep: Callable[[pl.DataFrame], None] | None = None,
) -> Listening:
    """The matrices of occurrences that come in chunks of whole users in order; ``keep`` is handed each chunk.

    Raises ConfigError where they would not fit the memory limit, as soon as that can be foreseen.
    """
    columns = {item_type: _Columns() for item_type in num_items}
    counts = _Counts()
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
            columns[list(num_items)[code]].add(of_type, timed)
        if chunk.height:
            share = (int(chunk[schemas.USER][-1]) + 1) / num_users
            each = _BYTES_PER_EVENT if timed else _BYTES_PER_PAIR
            held = sum(column.nbytes for column in columns.values())
            limit.check("hold everyone's listening", round(counts.pairs / share * each) - held)
    plain = settings.heavy_users == "equal" and not any(column.weighted for column in columns.values())
    by_type = {t: columns.pop(t).incidence((num_users, size), plain, timed) for t, size in num_items.items()}
    return Listening(
        by_type,
        counts.total(settings.heavy_users),
        users=counts.users_of_size.total(),
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

    @property
    def nbytes(self) -> int:
        return sum(part.nbytes for parts in (self.owners, self.items, self.times) for part in parts)

    def add(self, rows: pl.DataFrame, timed: bool) -> None:
        self.owners.append(rows[schemas.USER].to_numpy().astype(np.int32))
        self.items.append(rows[schemas.ITEM].to_numpy().astype(np.int32))
        weights = rows[WEIGHT].to_numpy()
        other = bool((weights != 1).any())
        self.weighted |= other
        self.weights.append(weights.copy() if other else np.broadcast_to(np.float32(1), len(weights)))
        if timed:
            self.times.append(rows[schemas.TIMESTAMP].to_physical().to_numpy().copy())

    def incidence(self, shape: tuple[int, int], plain: bool, timed: bool) -> Incidence:
        weight = None if plain else _joined(self.weights, np.float32)
        time = _joined(self.times, np.int64) if timed else None
        return incidence(_joined(self.owners, np.int32), _joined(self.items, np.int32), shape, weight, time)


@dataclass
class _Counts:
    users_of_size: Counter[int] = field(default_factory=Counter)
    users_capped: int = 0
    pairs: int = 0
    pairs_cut: int = 0

    def add(self, pairs: pl.DataFrame, kept: pl.DataFrame) -> None:
        self.users_of_size.update(kept.group_by(schemas.USER).len()["len"].to_list())
        self.users_capped += kept.filter("capped")[schemas.USER].n_unique()
        self.pairs += kept.height
        self.pairs_cut += pairs.height - kept.height

    def total(self, heavy_users: str) -> float:
        """N, the same whatever the chunks were."""
        sizes = pl.DataFrame({"n": sorted(self.users_of_size)}, schema={"n": pl.Int64})
        weights = sizes.select(_user_weight(pl.col("n"), heavy_users)).to_series()
        return math.fsum(weight * self.users_of_size[n] for n, weight in zip(sizes["n"], weights, strict=True))


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
