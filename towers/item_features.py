"""The item towers' inputs: text and HGNN embeddings, language, creator, genres and popularity of every item."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from pydantic import BaseModel, ConfigDict

from graphkit import schemas
from graphkit.config.towers import TowersSection
from graphkit.errors import InputError
from graphkit.histories import History
from graphkit.user_features import UNKNOWN, Flags, Floats, Ints

ITEM_FEATURES_FILE: Final = "item_features.json"
#: Values on fewer items than this count as unknown, which is how the unknown slot is trained.
_MIN_ITEMS: Final = 2


class ItemSpec(BaseModel):
    """One item tower's input signature. Id 0 of a categorical feature and column 0 of the genres stand for
    missing or unknown; value ``v`` has the id ``1 + vocabulary.index(v)``."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    text_dim: int
    embedding_dim: int
    categorical: dict[str, tuple[str, ...]] = {}
    genres: tuple[str, ...] = ()
    popularity_dim: int = 0

    @property
    def dense_dim(self) -> int:
        """Width of the dense input: the text embedding, the HGNN embedding, log counts; each may be left out."""
        return self.text_dim + self.embedding_dim + self.popularity_dim


class ItemInputs(NamedTuple):
    """An item tower's inputs."""

    dense: Floats  # [n, spec.dense_dim]
    categorical: npt.NDArray[np.int32]  # [n, len(spec.categorical)]
    genres: Floats  # [n, 1 + len(spec.genres)], each row sums to one


@dataclass(frozen=True)
class ItemFeatures:
    """All items of one type, ready to be looked up by item number."""

    spec: ItemSpec
    text: Floats  # [num_items, text_dim]
    embedding: Floats  # [num_items, embedding_dim]
    popularity: Floats  # [num_items, popularity_dim]
    categorical: npt.NDArray[np.int32]  # [num_items, len(spec.categorical)]
    genres: History  # genre columns per item

    @property
    def num_items(self) -> int:
        return len(self.text)

    def as_of(self, embedding: Floats, popularity: Floats) -> ItemFeatures:
        """The same items with the HGNN embeddings, if the tower takes them at all, and counts of another snapshot."""
        return replace(self, embedding=embedding[:, : self.spec.embedding_dim], popularity=popularity)

    def inputs(self, items: Ints) -> ItemInputs:
        """The inputs of ``items`` [n]."""
        row, genre = self.genres.pairs(items)
        genres = np.zeros((len(items), 1 + len(self.spec.genres)), dtype=np.float32)
        genres[row, genre] = 1
        genres /= genres.sum(axis=1, keepdims=True)
        dense = np.concatenate([self.text[items], self.embedding[items], self.popularity[items]], axis=1)
        return ItemInputs(dense, self.categorical[items], genres)

    @cached_property
    def whole(self) -> ItemInputs:
        """The inputs of the whole catalogue, in the order of its numbers."""
        return self.inputs(np.arange(self.num_items))

    def without_embedding(self, inputs: ItemInputs, hidden: Flags) -> ItemInputs:
        """``inputs`` [n] with zeros for the HGNN embedding in the rows that are True in ``hidden`` [n]."""
        dense = inputs.dense.copy()
        dense[hidden, self.spec.text_dim : self.spec.text_dim + self.spec.embedding_dim] = 0
        return inputs._replace(dense=dense)


def item_features(
    items: pl.DataFrame, text: Floats, embedding: Floats, popularity: Floats, settings: TowersSection
) -> ItemFeatures:
    """The features of one type's catalogue ``items`` (sorted by item) that ``settings.item_inputs`` name, and
    ``popularity`` [num_items, columns]; vocabularies keep the commonest values.

    Raises InputError where the items have none of them.
    """
    wanted = settings.item_inputs
    text, embedding = (
        rows if name in wanted else rows[:, :0] for name, rows in (("text", text), ("hgnn", embedding))
    )
    genres = _split_genres(items[schemas.GENRE])
    vocabularies = {
        name: _vocabulary(items[name].to_list(), settings.max_creators)
        for name in (schemas.LANGUAGE, schemas.CREATOR)
        if name in wanted
    }
    common = _vocabulary([genre for row in genres for genre in row], settings.max_genres)
    spec = ItemSpec(
        text_dim=text.shape[1],
        embedding_dim=embedding.shape[1],
        categorical={name: words for name, words in vocabularies.items() if words},
        genres=common if "genre" in wanted else (),
        popularity_dim=popularity.shape[1],
    )
    _require_an_input(spec, settings)
    columns = [_ids(items[name].to_list(), words) for name, words in spec.categorical.items()]
    table = np.stack(columns, axis=1) if columns else np.zeros((items.height, 0), dtype=np.int32)
    return ItemFeatures(spec, text, embedding, popularity, table, _genre_columns(genres, spec.genres))


def _require_an_input(spec: ItemSpec, settings: TowersSection) -> None:
    if not (spec.dense_dim or spec.categorical or spec.genres):
        raise InputError(
            "an item tower has no input left",
            where=f"towers.item_inputs = {list(settings.item_inputs)}",
            expected="at least one of them on the items of every target type, with a value that two items share",
            found="none",
            fix="name more of towers.item_inputs",
        )


def _vocabulary(values: Sequence[str | None], size: int) -> tuple[str, ...]:
    """The ``size`` commonest values that several items share, sorted; ties go to the smaller word."""
    counts = pl.Series("value", values, dtype=pl.String).drop_nulls().value_counts(name="count")
    shared = counts.filter(pl.col("count") >= _MIN_ITEMS).sort(["count", "value"], descending=[True, False])
    return tuple(sorted(shared["value"].head(size).to_list()))


def _ids(values: Sequence[str | None], vocabulary: tuple[str, ...]) -> npt.NDArray[np.int32]:
    ids = {word: i for i, word in enumerate(vocabulary, start=1)}
    return np.array([UNKNOWN if v is None else ids.get(v, UNKNOWN) for v in values], dtype=np.int32)


def _split_genres(column: pl.Series) -> list[list[str]]:
    return [sorted({part.strip() for part in (text or "").split(schemas.GENRE_SEPARATOR)} - {""}) for text in column]


def _genre_columns(genres: list[list[str]], vocabulary: tuple[str, ...]) -> History:
    """Genre columns per item, 0 for an item none of whose genres is known."""
    ids = {word: i for i, word in enumerate(vocabulary, start=1)}
    rows = [[ids[genre] for genre in row if genre in ids] or [UNKNOWN] for row in genres]
    indptr = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    return History(indptr, np.array([column for row in rows for column in row], dtype=np.int32))
