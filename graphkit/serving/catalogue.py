"""The bundle's id maps: external ids and texts at the boundary, integer rows inside."""

from __future__ import annotations

import difflib
from bisect import bisect_left
from collections.abc import Iterator, Set
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from graphkit import schemas
from graphkit.errors import InputError

_SHOWN: Final = (schemas.ITEM_ID, schemas.TITLE, schemas.GENRE)
#: Ids of about the same length that a misspelt one is compared with, at most.
_COMPARED: Final = 20_000


class Catalogue:
    """Items by row and by id, and users by id; each table is read when it is first asked for."""

    def __init__(self, items_path: Path, users_path: Path) -> None:
        self._items_path, self._users_path = items_path, users_path

    @cached_property
    def _items(self) -> pl.DataFrame:
        return pl.read_parquet(self._items_path)

    @cached_property
    def _by_type(self) -> dict[str, pl.DataFrame]:
        parts = self._items.partition_by(schemas.ITEM_TYPE, as_dict=True)
        return {str(key[0]): frame for key, frame in parts.items()}

    @cached_property
    def _shown(self) -> dict[str, list[pa.Array]]:
        """Per type the columns to show. Polars would hand each look-up to its threads, which takes longer than it."""
        return {item_type: [frame[name].to_arrow() for name in _SHOWN] for item_type, frame in self._by_type.items()}

    @cached_property
    def _users(self) -> pl.DataFrame:
        return pl.read_parquet(self._users_path, columns=[schemas.USER_ID, schemas.USER])

    def users(self) -> tuple[pl.Series, npt.NDArray[np.int64]]:
        """Every user's id, sorted, and row."""
        return self._users[schemas.USER_ID], self._users[schemas.USER].to_numpy().astype(np.int64)

    def ids(self, item_type: str) -> pl.Series:
        """The ids of a type's items, by row."""
        return self._by_type[item_type][schemas.ITEM_ID]

    def user(self, user_id: str) -> int | None:
        """The row of a user, None if unknown."""
        ids = self._users[schemas.USER_ID]  # sorted by the export, in the order in which Python compares text
        place = bisect_left(ids, user_id)
        if place == len(ids) or ids[place] != user_id:
            return None
        return int(self._users[schemas.USER][place])

    def about(self, item_type: str, item: int) -> dict[str, Any]:
        """Id, title and genre of the item in row ``item``."""
        return dict(zip(_SHOWN, next(self.names(item_type, np.array([item]))), strict=True))

    def names(self, item_type: str, items: npt.NDArray[np.int64]) -> Iterator[tuple[str, str | None, str | None]]:
        """Id, title and genre of each of the items in some rows."""
        places = pa.array(items)
        return zip(*(column.take(places).to_pylist() for column in self._shown[item_type]), strict=True)

    def among(self, item_type: str, ids: Set[str]) -> npt.NDArray[np.bool_]:
        """Which items of a type have one of ``ids``: bool [num_items]."""
        return self.ids(item_type).is_in(list(ids)).to_numpy()

    def languages(self, item_type: str) -> list[str]:
        """The languages that items of a type have, in order of their names."""
        return self._by_type[item_type][schemas.LANGUAGE].drop_nulls().unique().sort().to_list()

    def in_languages(self, item_type: str, languages: Set[str]) -> npt.NDArray[np.bool_]:
        """Which items of a type have one of ``languages``; none whose language is unknown: bool [num_items]."""
        of_items = self._by_type[item_type][schemas.LANGUAGE]
        return of_items.is_in(list(languages)).fill_null(False).to_numpy()

    def find(self, item_id: str, item_type: str | None) -> tuple[str, int]:
        """``(item_type, item)`` of an id. Raises InputError for an unknown one, with the closest ids and
        titles, and for one that several types share, unless ``item_type`` says which."""
        hits = self._items.filter(pl.col(schemas.ITEM_ID) == item_id)
        if item_type is not None:
            hits = hits.filter(pl.col(schemas.ITEM_TYPE) == item_type)
        if hits.height == 0:
            place = f" of type {item_type}" if item_type else ""
            raise InputError(f"no item {item_id!r}{place} in the bundle", expected=self._close(item_id, item_type))
        if hits.height > 1:
            types = ", ".join(sorted(hits[schemas.ITEM_TYPE]))
            raise InputError(
                f"several items have the id {item_id!r}", found=f"types {types}", fix="choose one with --type TYPE"
            )
        return hits[schemas.ITEM_TYPE][0], int(hits[schemas.ITEM][0])

    def _close(self, word: str, item_type: str | None) -> str:
        items = self._items if item_type is None else self._by_type[item_type]
        in_title = pl.col(schemas.TITLE).str.to_lowercase().str.contains(word.lower(), literal=True)
        by_title = items.filter(in_title)[schemas.ITEM_ID].head(3).to_list()
        length = pl.col(schemas.ITEM_ID).str.len_chars().cast(pl.Int64)
        alike = items.filter((length - len(word)).abs() <= 2)[schemas.ITEM_ID].head(_COMPARED).to_list()
        close = [*by_title, *difflib.get_close_matches(word, alike, n=3)]
        known = ", ".join(dict.fromkeys(close)) or ", ".join(items[schemas.ITEM_ID].head(3)) + ", …"
        return f"an item id, such as {known}"
