"""From users to the autoencoder's input rows: one code path for training, the batch, and one user at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from graphkit import schemas
from towers.encoders.autoencoder.modalities import Modalities
from towers.encoders.autoencoder.spec import InputSpec
from towers.encoders.users import Users

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]
_DAY_MS: Final = 86_400_000


@dataclass(frozen=True)
class ItemTable:
    """The items' vectors, all modalities side by side, ready to be averaged."""

    vectors: dict[str, Floats]  # per type [num_items, sum of widths]
    known: dict[str, Floats]  # per type 0/1 [num_items, number of modalities]
    widths: tuple[int, ...]

    @classmethod
    def of(cls, modalities: Modalities, types: Sequence[str]) -> ItemTable:
        vectors = {t: modalities.side_by_side(t) for t in types}
        return cls(vectors, {t: modalities.known(t) for t in types}, tuple(modalities.widths.values()))

    def means(self, sums: Floats, counts: Floats, shrinkage: float) -> Floats:
        """``sums`` [..., sum of widths] over ``counts`` [..., modalities] + ``shrinkage``; NaN where a count is 0."""
        weight = np.where(counts > 0, counts + np.float32(shrinkage), np.float32(np.nan))
        mean: Floats = sums / np.repeat(weight, self.widths, axis=-1)
        return mean


def feature_rows(users: Users, spec: InputSpec, items: ItemTable) -> Floats:
    """The input rows of ``users``: float32 [n, spec.dim], NaN where something is not known."""
    types = spec.types if spec.histories else ()
    vectors = [_windowed_means(users, item_type, spec, items) for item_type in types]
    counts = [_counts(users, t, signals, spec) for t in spec.types for signals in spec.signals.values()]
    return np.concatenate([*vectors, *counts, *_profile(users, spec, items)], axis=1)


def something_known(rows: Floats, spec: InputSpec) -> npt.NDArray[np.bool_]:
    """Of which users anything is known at all: bool [n]."""
    counted = sum(block.width for block in spec.vector_blocks)
    counts = rows[:, counted : counted + sum(block.width for block in spec.count_blocks)]
    others = np.delete(rows, np.s_[counted : counted + counts.shape[1]], axis=1)
    return np.asarray((counts > 0).any(axis=1) | (~np.isnan(others)).any(axis=1), dtype=np.bool_)


def _windowed_means(users: Users, item_type: str, spec: InputSpec, items: ItemTable) -> Floats:
    """Means over the distinct items of each window, by strong rows: [n, windows x sum of widths]."""
    rows = _rows_of(users, item_type, spec.strong)
    pair = [schemas.USER, schemas.ITEM]
    latest = rows.group_by(pair).agg(pl.col(schemas.TIMESTAMP).max()).sort(pair)
    cell, inside = _cells(users, latest, spec)
    item = latest[schemas.ITEM].to_numpy()[inside]
    shape = (users.count * spec.num_windows, len(items.vectors[item_type]))
    met = sparse.csr_array((np.ones(len(cell), np.float32), (cell, item)), shape=shape)
    sums, counts = (_within(met @ table[item_type], users.count, spec) for table in (items.vectors, items.known))
    return items.means(sums, counts, spec.shrinkage).reshape(users.count, -1)


def _counts(users: Users, item_type: str, signals: tuple[str, ...], spec: InputSpec) -> Floats:
    """log(1 + rows) within each window: [n, windows]."""
    cell, _ = _cells(users, _rows_of(users, item_type, signals), spec)
    count = np.bincount(cell, minlength=users.count * spec.num_windows)[:, None]
    rows: Floats = np.log1p(_within(count, users.count, spec)[:, :, 0]).astype(np.float32)
    return rows


def _rows_of(users: Users, item_type: str, signals: tuple[str, ...]) -> pl.DataFrame:
    return users.rows.filter((pl.col(schemas.ITEM_TYPE) == item_type) & pl.col(schemas.SIGNAL).is_in(list(signals)))


def _cells(users: Users, rows: pl.DataFrame, spec: InputSpec) -> tuple[Ints, npt.NDArray[np.bool_]]:
    """``user x windows + shortest window`` of each row that is in any window, and which rows are: [num_rows]."""
    user = rows[schemas.USER].to_numpy().astype(np.int64)
    if users.as_of is None or not spec.windows_days:
        return user, np.ones(len(user), dtype=bool)
    end = users.as_of.dt.epoch("ms").to_numpy()
    age_ms = end[user] - rows[schemas.TIMESTAMP].to_physical().to_numpy()
    window = np.searchsorted(np.array(spec.windows_days) * _DAY_MS, age_ms)
    inside = window < spec.num_windows
    return (user * spec.num_windows + window)[inside], inside


def _within(per_cell: npt.NDArray[Any], num_users: int, spec: InputSpec) -> npt.NDArray[Any]:
    """Sums over windows, the longer holding the shorter: [n x windows, d] to [n, windows, d]."""
    return per_cell.reshape(num_users, spec.num_windows, -1).cumsum(axis=1, dtype=per_cell.dtype)


def _profile(users: Users, spec: InputSpec, items: ItemTable) -> Iterator[Floats]:
    profiles = users.profiles
    if spec.countries:
        yield _one_hot(profiles[schemas.COUNTRY], spec.countries)
    if spec.age:
        yield _column(profiles[schemas.AGE])
    if spec.tenure:
        days = (users.as_of - pl.col(schemas.REGISTERED_AT)).dt.total_milliseconds() / _DAY_MS
        yield _column(profiles.select(days.log1p()).to_series())
    fresh = _is_new(users, spec)
    if spec.onboarding:
        picked = users.onboarding.filter(
            pl.Series(fresh[users.onboarding[schemas.USER].to_numpy()], dtype=pl.Boolean)
        )
        yield _onboarding_means(picked, users.count, spec, items)
    if spec.languages:
        yield np.where(fresh[:, None], _multi_hot(profiles[schemas.ONBOARDING_LANGUAGES], spec.languages), np.nan)


def _is_new(users: Users, spec: InputSpec) -> npt.NDArray[np.bool_]:
    """Whose onboarding still counts (paper 4.3): who registered, or if not known was first seen, lately."""
    if users.as_of is None:
        return np.ones(users.count, dtype=bool)
    first = users.rows.group_by(schemas.USER).agg(pl.col(schemas.TIMESTAMP).min().alias("first"))
    seen = users.profiles.with_row_index(schemas.USER).join(first, on=schemas.USER, how="left", maintain_order="left")
    start = pl.coalesce(schemas.REGISTERED_AT, "first")
    recent = (users.as_of - start).dt.total_milliseconds() <= spec.onboarding_days * _DAY_MS
    return seen.select(recent.fill_null(True)).to_series().to_numpy()


def _onboarding_means(picked: pl.DataFrame, count: int, spec: InputSpec, items: ItemTable) -> Floats:
    """Means over the picked items of all types: [n, sum of widths]."""
    sums, counts = np.zeros((count, sum(items.widths)), np.float32), np.zeros((count, len(items.widths)), np.float32)
    for item_type, vectors in items.vectors.items():
        rows = picked.filter(pl.col(schemas.ITEM_TYPE) == item_type)
        place = (rows[schemas.USER].to_numpy(), rows[schemas.ITEM].to_numpy())
        chosen = sparse.csr_array((np.ones(rows.height, np.float32), place), shape=(count, len(vectors)))
        sums, counts = sums + chosen @ vectors, counts + chosen @ items.known[item_type]
    return items.means(sums, counts, spec.shrinkage)


def _column(values: pl.Series) -> Floats:
    return values.cast(pl.Float32).fill_null(np.nan).to_numpy().reshape(-1, 1)


def _one_hot(values: pl.Series, vocabulary: tuple[str, ...]) -> Floats:
    """0/1 [n, len(vocabulary)]; NaN where the value is missing or not in the vocabulary."""
    return _multi_hot(values.to_frame().select(pl.concat_list(values.name)).to_series(), vocabulary)


def _multi_hot(values: pl.Series, vocabulary: tuple[str, ...]) -> Floats:
    """0/1 [n, len(vocabulary)] of lists of words; NaN where no word is in the vocabulary."""
    out = np.zeros((len(values), len(vocabulary)), np.float32)
    place = pl.DataFrame({"word": vocabulary, "column": np.arange(len(vocabulary))})
    words = values.alias("word").to_frame().with_row_index("row").explode("word").join(place, on="word")
    out[words["row"].to_numpy(), words["column"].to_numpy()] = 1
    out[~out.any(axis=1)] = np.nan
    return out
