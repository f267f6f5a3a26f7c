"""All items of all types, numbered one after the other, with what a model may know of each at a moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from graphkit import schemas
from graphkit.datasets.store import Dataset
from graphkit.graph.store import FIT, SERVE
from graphkit.vectors import Vectors

Floats = npt.NDArray[np.float32]
Longs = npt.NDArray[np.int64]
_GROUP: Final = "group"


@dataclass(frozen=True)
class Catalogue:
    """``items`` everywhere in the laboratory are rows of this catalogue."""

    starts: Mapping[str, int]  # the first item of each type, in the dataset's order
    num_items: Mapping[str, int]
    embeddings: Mapping[str, Floats]  # per moment the graph network's, [all items, dim], all types in one space
    members: pl.DataFrame | None = None  # of a catalogue of groups: item_type, item, and the item's group within it

    @classmethod
    def of(cls, dataset: Dataset, embeddings: Vectors) -> Catalogue:
        """``embeddings``: ``fit/<type>`` and ``serve/<type>``, as the ``hgnn`` stage writes them."""
        types, counts = dataset.meta.types, dataset.meta.num_items
        starts = dict(zip(types, np.cumsum([0, *(counts[name] for name in types)])[:-1].tolist(), strict=True))
        stacked = {
            moment: np.concatenate([embeddings[f"{moment}/{name}"] for name in types]) for moment in (FIT, SERVE)
        }
        return cls(starts, {name: counts[name] for name in types}, stacked)

    def grouped(self, items: pl.DataFrame, column: str) -> Catalogue:
        """The values of a column of the items (``Dataset.items`` without nulls in it) as a catalogue of their own:
        rows of an item are rows of its group, whose embedding is the mean of its items'."""
        numbered = items.select(
            schemas.ITEM_TYPE,
            pl.col(schemas.ITEM).cast(pl.Int64),
            (pl.col(column).rank("dense").over(schemas.ITEM_TYPE).cast(pl.Int64) - 1).alias(_GROUP),
        )
        sizes = dict(numbered.group_by(schemas.ITEM_TYPE).agg(pl.col(_GROUP).max() + 1).rows())
        counts = {name: int(sizes.get(name, 0)) for name in self.starts}
        starts = dict(zip(counts, np.cumsum([0, *counts.values()])[:-1].tolist(), strict=True))
        item = numbered.select(_numbers(self.starts, schemas.ITEM)).to_series().to_numpy()
        group = numbered.select(_numbers(starts, _GROUP)).to_series().to_numpy()
        shape = (sum(counts.values()), self.size)
        mean = sparse.csr_array((np.ones(len(item), np.float32), (group, item)), shape=shape)
        weight = np.bincount(group, minlength=shape[0]).astype(np.float32)[:, None]
        means = {moment: (mean @ vectors) / weight for moment, vectors in self.embeddings.items()}
        return Catalogue(starts, counts, means, numbered)

    @property
    def size(self) -> int:
        return sum(self.num_items.values())

    def of_type(self, name: str) -> slice:
        """The items of a type."""
        return slice(self.starts[name], self.starts[name] + self.num_items[name])

    @property
    def type_of(self) -> Longs:
        """The place of each item's type in the dataset's order: int64 [size]."""
        return np.repeat(np.arange(len(self.num_items)), list(self.num_items.values()))

    def features(self, moment: str) -> Floats:
        """What the item side of a pair model reads: embedding and type, float32 [size, dim + types]."""
        kind = np.eye(len(self.num_items), dtype=np.float32)[self.type_of]
        return np.concatenate([self.embeddings[moment], kind], axis=1)

    def column(self) -> pl.Expr:
        """The item number of rows of ``Dataset.interactions``."""
        return _numbers(self.starts, schemas.ITEM)

    def pairs(self, rows: pl.LazyFrame) -> pl.DataFrame:
        """Distinct ``user`` (i64), ``item`` (i64) of the rows, sorted."""
        rows = rows.select(pl.col(schemas.USER, schemas.ITEM).cast(pl.Int64), schemas.ITEM_TYPE)
        if self.members is not None:
            joined = rows.join(self.members.lazy(), on=[schemas.ITEM_TYPE, schemas.ITEM])
            rows = joined.drop(schemas.ITEM).rename({_GROUP: schemas.ITEM})
        chosen = rows.select(schemas.USER, self.column())
        return chosen.unique().sort(schemas.USER, schemas.ITEM).collect()

    def matrix(self, rows: pl.LazyFrame, num_users: int) -> Any:
        """Who met what: sparse 0/1 float32 [num_users, size]."""
        pairs = self.pairs(rows)
        ends = (pairs[schemas.USER].to_numpy(), pairs[schemas.ITEM].to_numpy())
        return sparse.csr_array((np.ones(pairs.height, np.float32), ends), shape=(num_users, self.size))


def _numbers(starts: Mapping[str, int], column: str) -> pl.Expr:
    """A number within the type, in ``column``, as one over all types."""
    start = pl.col(schemas.ITEM_TYPE).replace_strict(dict(starts), return_dtype=pl.Int64)
    return (start + pl.col(column)).alias(schemas.ITEM)
