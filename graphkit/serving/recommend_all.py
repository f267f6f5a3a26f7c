"""Recommendations for every user of a bundle, in blocks over threads, to one Parquet file.

Columns: ``user_id``, ``item_type``, ``rank`` u16 from 1, ``item_id``, ``score`` f32 and ``source``, as ``recommend``
gives them; users in the bundle's order of ids, type by type. The whole catalogue is scored, no index is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from threadpoolctl import threadpool_limits

from graphkit import schemas
from graphkit.artefacts.disk import fsync
from graphkit.errors import InputError
from graphkit.evaluation.groups import COLD, WARM
from graphkit.evaluation.top_items import tie_order, top_items
from graphkit.histories import STRONG, History, Pool
from graphkit.parallel import map_in_order
from graphkit.parquet import GrowingTable
from graphkit.progress import track
from graphkit.serving.add_edges import add_edges
from graphkit.serving.filters import NO_FILTERS, Allowed, Filters
from graphkit.serving.recommend import BLEND, POPULARITY, TOWERS, blank_users, require_positive, require_target

if TYPE_CHECKING:
    from graphkit.serving.bundle import Bundle

#: Scores that each thread holds at once.
_BLOCK_SCORES: Final = 8_000_000

Floats = npt.NDArray[np.float32]
Longs = npt.NDArray[np.int64]


class Written(NamedTuple):
    """Rows of one type, and what is out of the ordinary about its filter."""

    rows: int
    note: str


def recommend_all(
    bundle: Bundle,
    out: Path,
    item_types: Sequence[str] = (),
    k: int = 10,
    threads: int = 1,
    filters: Filters = NO_FILTERS,
) -> dict[str, Written]:
    """Write the ``k`` best items of each of ``item_types`` (none: every target) for every user; what was written.

    ``filters`` strike out as in ``recommend``. The file appears once it is complete. Raises InputError for a type
    that the bundle does not recommend, for k < 1, for a language of no item and where ``out`` has no folder.
    """
    require_positive(k)
    for item_type in item_types:
        require_target(bundle, item_type)
    if not out.parent.is_dir():
        raise InputError(
            "the folder to write to is not there", where=str(out.parent), fix="make it, or write elsewhere"
        )
    allowed = {item_type: bundle.allowed(item_type, filters) for item_type in item_types or bundle.meta.targets}
    partial = out.with_name(f".{out.name}.partial")
    try:
        with GrowingTable(partial) as table, threadpool_limits(1, "blas"):  # the blocks are shared out, not a product
            rows = {t: _write(table, _Lists.of(bundle, t, k, about), threads) for t, about in allowed.items()}
        fsync(partial)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return {item_type: Written(rows[item_type], _note(about, k)) for item_type, about in allowed.items()}


def _note(about: Allowed, k: int) -> str:
    number = int(about.items.sum())
    few = f"fewer than {k}: the filter allows {number} items" if number < min(k, len(about.items)) else ""
    return "; ".join(filter(None, [few, about.note]))


def _write(table: GrowingTable, lists: _Lists, threads: int) -> int:
    rows, blocks = 0, lists.blocks()
    for frame in track(map_in_order(lists.frame, blocks, threads), lists.item_type, len(blocks)):
        table.append(frame)
        rows += frame.height
    return rows


@dataclass(frozen=True)
class _Lists:
    """The lists of one type: what all blocks of users share."""

    bundle: Bundle
    item_type: str
    length: int
    users: Longs  # rows, by user id
    user_ids: pl.Series
    item_ids: pl.Series
    columns: Longs  # the items that may be listed
    met: History  # the users' strong items, of all types side by side
    ties: Longs  # of the items that may be listed

    @classmethod
    def of(cls, bundle: Bundle, item_type: str, k: int, about: Allowed) -> _Lists:
        ids, users = bundle.catalogue.users()
        columns = np.flatnonzero(about.items)
        return cls(
            bundle=bundle,
            item_type=item_type,
            length=min(k, len(columns)),
            users=users,
            user_ids=ids,
            item_ids=bundle.catalogue.ids(item_type),
            columns=columns,
            met=bundle.edges.all_met,
            ties=tie_order(len(about.items), 0)[columns],
        )

    def blocks(self) -> list[Longs]:
        """Places in ``users``, block by block."""
        height = max(1, _BLOCK_SCORES // max(1, self.bundle.meta.num_items[self.item_type]))
        return [np.arange(start, min(start + height, len(self.users))) for start in range(0, len(self.users), height)]

    def frame(self, places: Longs) -> pl.DataFrame:
        """The lists of one block of users."""
        users = self.users[places]
        scores, source = self._scores(users)
        filtered = len(self.columns) < scores.shape[1]
        top = top_items(
            scores[:, self.columns] if filtered else scores, self._seen(users), self.ties, self.length
        )  # places in columns
        row, rank = np.nonzero(top >= 0)
        item = self.columns[top[row, rank]]
        return pl.DataFrame(
            {
                schemas.USER_ID: self.user_ids.gather(places[row]),
                schemas.ITEM_TYPE: pl.repeat(self.item_type, len(row), eager=True),
                "rank": (rank + 1).astype(np.uint16),
                schemas.ITEM_ID: self.item_ids.gather(item),
                "score": scores[row, item],
                "source": pl.Series(source).gather(row),
            }
        )

    def _seen(self, users: Longs) -> tuple[Longs, npt.NDArray[np.int32]]:
        """``(row, place in columns)`` of the items that the users met and that might be listed, in that order."""
        whose, seen = self.bundle.seen[Pool(self.item_type, STRONG)].pairs(users)
        place = np.searchsorted(self.columns, seen)
        listed = place < len(self.columns)
        listed[listed] = self.columns[place[listed]] == seen[listed]
        whose, place = whose[listed], place[listed]
        order = np.lexsort((place, whose))
        return whose[order], place[order].astype(np.int32)

    def _scores(self, users: Longs) -> tuple[Floats, list[str]]:
        """Scores float32 [n, num_items], and where each user's come from."""
        inputs = self.bundle.user_features.inputs(users)
        vectors = self.bundle.user_vectors(inputs)
        warm = np.diff(self.bundle.seen[Pool(self.item_type, STRONG)].indptr)[users] > 0
        weight, popularity = (
            np.array([weights[f"{self.item_type}/{group}"] for group in (COLD, WARM)], np.float32)[warm.astype(int)]
            for weights in (self.bundle.meta.towers_weight, self.bundle.meta.popularity_weight)
        )
        spread = self.bundle.index(self.item_type).spreads(vectors)
        scale = np.divide(weight, spread, out=np.zeros_like(weight), where=spread > 0)
        scores = (vectors * scale[:, None]) @ self.bundle.item_vectors[self.item_type].T
        if popularity.any():
            items, part = self.bundle.popular(self.item_type)
            scores[:, items] += popularity[:, None] * part
        reached = np.zeros(len(users), dtype=bool)
        for group, rows in ((COLD, np.flatnonzero(~warm)), (WARM, np.flatnonzero(warm))):
            reached[rows] = add_edges(
                scores, rows, self.met, users[rows], self.bundle.edges.of(self.item_type, group)
            )
        lost = blank_users(inputs) & ~reached
        scores[lost] = self.bundle.popularity[self.item_type]
        named = np.where(lost, POPULARITY, np.where(reached, BLEND, TOWERS))
        return scores, named.tolist()
