"""What a peer may know: who met what in train, when at last, and the catalogue's genres."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from graphkit import schemas
from graphkit.datasets.store import Dataset
from graphkit.evaluation.groups import Parts, final_parts, history_of, read_pairs, strong_pairs
from graphkit.histories import History

Longs = npt.NDArray[np.int64]


@dataclass(frozen=True)
class TrainData:
    """Distinct strong train pairs of every item type, and what goes with them.

    ``likes`` are sparse 0/1 float32 [num_users, num_items] per type. ``ages_ms`` say, per type and for each entry of
    ``likes`` in its order, how long before the end of train the user last met the item (None without timestamps).
    ``genres`` are sparse 0/1 float32 [num_items, num_genres] per type, all types in one vocabulary.
    """

    likes: dict[str, Any]
    targets: tuple[str, ...]
    ages_ms: dict[str, Longs] | None = None
    genres: dict[str, Any] = field(default_factory=dict)

    @property
    def num_users(self) -> int:
        return int(next(iter(self.likes.values())).shape[0])

    @cached_property
    def all_likes(self) -> Any:
        """All types side by side, in their order: sparse 0/1 float32 [num_users, all items]."""
        return sparse.hstack(list(self.likes.values()), format="csr")

    @cached_property
    def columns(self) -> dict[str, slice]:
        """Where each type's items stand in ``all_likes``."""
        found, start = {}, 0
        for item_type, matrix in self.likes.items():
            found[item_type] = slice(start, start + matrix.shape[1])
            start += matrix.shape[1]
        return found


def read_train(dataset: Dataset, parts: Parts) -> TrainData:
    """What the peers may know of ``parts``: its train rows by strong signals, and the catalogue."""
    num_items, num_users = dataset.meta.num_items, dataset.meta.num_users
    likes, ages = {}, {}
    for item_type in dataset.meta.types:
        pairs = _last_met(parts.train, dataset.meta.strong, item_type)
        likes[item_type] = as_matrix(history_of(pairs, num_users), num_items[item_type])
        if parts.cutoff is not None:
            ages[item_type] = _age_ms(pairs, parts.cutoff)
    timed = parts.cutoff is not None
    return TrainData(likes, dataset.meta.targets, ages if timed else None, _genres(dataset))


def history_matrices(dataset: Dataset) -> dict[str, Any]:
    """Who met what through any strong or weak train row: per type a sparse 0/1 float32 matrix."""
    train, signals = final_parts(dataset).train, (*dataset.meta.strong, *dataset.meta.weak)
    return {
        item_type: as_matrix(read_pairs(strong_pairs(train, signals, item_type), dataset.meta.num_users), num_items)
        for item_type, num_items in dataset.meta.num_items.items()
    }


def as_matrix(pairs: History, num_items: int) -> Any:
    """A sparse 0/1 float32 [num_users, num_items]."""
    ones = np.ones(len(pairs.items), dtype=np.float32)
    return sparse.csr_array((ones, pairs.items, pairs.indptr), shape=(pairs.num_users, num_items))


def _last_met(rows: pl.LazyFrame, strong: Sequence[str], item_type: str) -> pl.DataFrame:
    """``user``, ``item`` and their latest ``timestamp``, sorted."""
    of_type = (pl.col(schemas.ITEM_TYPE) == item_type) & pl.col(schemas.SIGNAL).is_in(list(strong))
    pairs = rows.filter(of_type).group_by(schemas.USER, schemas.ITEM).agg(pl.col(schemas.TIMESTAMP).max())
    return pairs.sort(schemas.USER, schemas.ITEM).collect()


def _age_ms(pairs: pl.DataFrame, end: datetime) -> Longs:
    """Milliseconds from each row to ``end``; a row without a timestamp is as old as can be."""
    age = (pl.lit(end).cast(pl.Datetime("ms", "UTC")) - pl.col(schemas.TIMESTAMP)).dt.total_milliseconds()
    oldest = np.iinfo(np.int64).max
    return pairs.select(age.fill_null(oldest)).to_series().to_numpy()


def _genres(dataset: Dataset) -> dict[str, Any]:
    """Which genres each item has: sparse 0/1 float32 [num_items, num_genres] per type."""
    listed = dataset.items().select(
        schemas.ITEM_TYPE,
        schemas.ITEM,
        pl.col(schemas.GENRE).cast(pl.String).str.split(schemas.GENRE_SEPARATOR).alias("genre"),
    )
    tags = listed.explode("genre").with_columns(pl.col("genre").str.strip_chars()).filter(pl.col("genre") != "")
    names = tags["genre"].unique().sort()
    column = pl.DataFrame({"genre": names, "column": np.arange(len(names))})
    tags = tags.join(column, on="genre").select(schemas.ITEM_TYPE, schemas.ITEM, "column").unique()
    found = {}
    for item_type, num_items in dataset.meta.num_items.items():
        mine = tags.filter(pl.col(schemas.ITEM_TYPE) == item_type)
        ends = (mine[schemas.ITEM].to_numpy(), mine["column"].to_numpy())
        ones = np.ones(mine.height, dtype=np.float32)
        found[item_type] = sparse.csr_array((ones, ends), shape=(num_items, len(names)))
    return found
