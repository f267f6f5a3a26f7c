"""Recommendations for every user of a bundle, in blocks over threads, to one Parquet file.

Columns: ``user_id``, ``item_type``, ``rank`` u16 from 1, ``item_id``, ``score`` f32 and ``source``, as ``recommend``
gives them; users in the bundle's order of ids, type by type. The whole catalogue is scored, no index is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import sparse

from graphkit import schemas
from graphkit.artefacts.disk import fsync
from graphkit.errors import InputError
from graphkit.evaluation.groups import COLD, WARM
from graphkit.evaluation.peers.rows import sparse_rows
from graphkit.evaluation.top_items import tie_order, top_items
from graphkit.parallel import map_in_order
from graphkit.parquet import GrowingTable
from graphkit.progress import track
from graphkit.serving.recommend import BLEND, POPULARITY, TOWERS, blank_users, require_positive, require_target
from graphkit.user_features import STRONG, Pool

if TYPE_CHECKING:
    from graphkit.serving.bundle import Bundle

#: Scores that each thread holds at once.
_BLOCK_SCORES: Final = 8_000_000

Floats = npt.NDArray[np.float32]
Longs = npt.NDArray[np.int64]


def recommend_all(
    bundle: Bundle, out: Path, item_types: Sequence[str] = (), k: int = 10, threads: int = 1
) -> dict[str, int]:
    """Write the ``k`` best items of each of ``item_types`` (none: every target) for every user; rows per type.

    The file appears once it is complete. Raises InputError for a type that the bundle does not recommend, for k < 1
    and where the folder of ``out`` is not there.
    """
    require_positive(k)
    for item_type in item_types:
        require_target(bundle, item_type)
    if not out.parent.is_dir():
        raise InputError(
            "the folder to write to is not there", where=str(out.parent), fix="make it, or write elsewhere"
        )
    partial = out.with_name(f".{out.name}.partial")
    try:
        with GrowingTable(partial) as table:
            written = {t: _write(table, _Lists.of(bundle, t, k), threads) for t in item_types or bundle.meta.targets}
        fsync(partial)
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return written


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
    met: Any  # sparse 0/1 CSR [num_users, all items]
    weights: dict[str, Any]  # by group: sparse CSR [all items, num_items]
    ties: Longs

    @classmethod
    def of(cls, bundle: Bundle, item_type: str, k: int) -> _Lists:
        ids, users = bundle.catalogue.users()
        num_items = bundle.meta.num_items[item_type]
        return cls(
            bundle=bundle,
            item_type=item_type,
            length=min(k, num_items),
            users=users,
            user_ids=ids,
            item_ids=bundle.catalogue.ids(item_type),
            met=_met(bundle),
            weights={group: _matrix(bundle, item_type, group) for group in (WARM, COLD)},
            ties=tie_order(num_items, 0),
        )

    def blocks(self) -> list[Longs]:
        """Places in ``users``, block by block."""
        height = max(1, _BLOCK_SCORES // max(1, self.bundle.meta.num_items[self.item_type]))
        return [np.arange(start, min(start + height, len(self.users))) for start in range(0, len(self.users), height)]

    def frame(self, places: Longs) -> pl.DataFrame:
        """The lists of one block of users."""
        users = self.users[places]
        scores, source = self._scores(users)
        whose, seen = self.bundle.seen[Pool(self.item_type, STRONG)].pairs(users)
        by_item = np.lexsort((seen, whose))
        top = top_items(scores, (whose[by_item], seen[by_item]), self.ties, self.length)
        row, rank = np.nonzero(top >= 0)
        item = top[row, rank]
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

    def _scores(self, users: Longs) -> tuple[Floats, list[str]]:
        """Scores float32 [n, num_items], and where each user's come from."""
        inputs = self.bundle.user_features.inputs(users)
        vectors = self.bundle.user_vectors(inputs)
        edges, weight = self._along_edges(users)
        reached = edges.any(axis=1)
        lost = blank_users(inputs) & ~reached
        spread = self.bundle.index(self.item_type).spreads(vectors)
        scores = vectors @ self.bundle.item_vectors[self.item_type].T
        scores *= np.divide(weight, spread, out=np.zeros_like(weight), where=spread > 0)[:, None]
        along = edges.std(axis=1)
        edges *= np.divide(1, along, out=np.zeros_like(along), where=along > 0)[:, None]
        scores += edges
        scores[lost] = self.bundle.popularity[self.item_type]
        named = np.where(lost, POPULARITY, np.where(reached, BLEND, TOWERS))
        return scores, named.tolist()

    def _along_edges(self, users: Longs) -> tuple[Floats, Floats]:
        """The edges' scores float32 [n, num_items], and the towers' weight beside them float32 [n]."""
        warm = np.diff(self.bundle.seen[Pool(self.item_type, STRONG)].indptr)[users] > 0
        out = np.zeros((len(users), self.bundle.meta.num_items[self.item_type]), np.float32)
        weight = np.zeros(len(users), np.float32)
        for group, members in ((WARM, warm), (COLD, ~warm)):
            rows = np.flatnonzero(members)
            weight[rows] = self.bundle.meta.towers_weight[f"{self.item_type}/{group}"]
            if len(rows):
                out[rows] = sparse_rows(self.met[users[rows]], self.weights[group])
        return out, weight


def _met(bundle: Bundle) -> Any:
    """Every user's strong items, of all types side by side."""
    parts = []
    for item_type in bundle.meta.types:
        history, size = bundle.seen[Pool(item_type, STRONG)], bundle.meta.num_items[item_type]
        ones = np.ones(len(history.items), np.float32)
        parts.append(sparse.csr_array((ones, history.items, history.indptr), shape=(bundle.meta.num_users, size)))
    return sparse.hstack(parts, format="csr")


def _matrix(bundle: Bundle, item_type: str, group: str) -> Any:
    name, tensors = f"{item_type}/{group}", bundle.edges.tensors
    shape = (sum(bundle.meta.num_items[name] for name in bundle.meta.types), bundle.meta.num_items[item_type])
    parts = (tensors[f"{name}/weights"], tensors[f"{name}/indices"], tensors[f"{name}/indptr"])
    return sparse.csr_array(parts, shape=shape)
