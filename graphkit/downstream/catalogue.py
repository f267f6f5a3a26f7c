"""All items of all types, numbered one after the other, with what a model may know of each at a moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True)
class Catalogue:
    """``items`` everywhere in the laboratory are rows of this catalogue."""

    starts: Mapping[str, int]  # the first item of each type, in the dataset's order
    num_items: Mapping[str, int]
    embeddings: Mapping[str, Floats]  # per moment the graph network's, [all items, dim], all types in one space

    @classmethod
    def of(cls, dataset: Dataset, embeddings: Vectors) -> Catalogue:
        """``embeddings``: ``fit/<type>`` and ``serve/<type>``, as the ``hgnn`` stage writes them."""
        types, counts = dataset.meta.types, dataset.meta.num_items
        starts = dict(zip(types, np.cumsum([0, *(counts[name] for name in types)])[:-1].tolist(), strict=True))
        stacked = {
            moment: np.concatenate([embeddings[f"{moment}/{name}"] for name in types]) for moment in (FIT, SERVE)
        }
        return cls(starts, {name: counts[name] for name in types}, stacked)

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
        start = pl.col(schemas.ITEM_TYPE).replace_strict(dict(self.starts), return_dtype=pl.Int64)
        return (start + pl.col(schemas.ITEM)).alias(schemas.ITEM)

    def pairs(self, rows: pl.LazyFrame) -> pl.DataFrame:
        """Distinct ``user`` (i64), ``item`` (i64) of the rows, sorted."""
        chosen = rows.select(pl.col(schemas.USER).cast(pl.Int64), self.column())
        return chosen.unique().sort(schemas.USER, schemas.ITEM).collect()

    def matrix(self, rows: pl.LazyFrame, num_users: int) -> Any:
        """Who met what: sparse 0/1 float32 [num_users, size]."""
        pairs = self.pairs(rows)
        ends = (pairs[schemas.USER].to_numpy(), pairs[schemas.ITEM].to_numpy())
        return sparse.csr_array((np.ones(pairs.height, np.float32), ends), shape=(num_users, self.size))
