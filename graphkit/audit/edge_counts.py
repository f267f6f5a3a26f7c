"""What an edge of each kind may rest on, recounted."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import polars as pl

from graphkit import schemas
from graphkit.audit.edge_rows import EdgeRows
from graphkit.audit.pairs import Ints, is_in, known_pairs, pair_keys
from graphkit.audit.sharing import Owners, shared_owners
from graphkit.graph.store import CO_LISTENING, LISTENING, USER_NODE, Relation

#: ``count(relation, src, dst)``: on how many users, playlists or listeners each edge may rest, int64 [n].
EdgeCount = Callable[[Relation, Ints, Ints], Ints]


def edge_count(rows: EdgeRows, kind: str) -> EdgeCount:
    """How to count edges of one kind; what a type needs is read once, when it is first met."""
    if kind == LISTENING:
        return _listened(rows)
    owners: dict[str, Owners] = {}

    def of_type(item_type: str) -> Owners:
        if item_type not in owners:
            owners[item_type] = (_listeners if kind == CO_LISTENING else _playlists)(rows, item_type)
        return owners[item_type]

    return lambda relation, src, dst: shared_owners(of_type(relation.src), of_type(relation.dst), src, dst)


def _listeners(rows: EdgeRows, item_type: str) -> Owners:
    pairs = rows.of_type(item_type).select(schemas.ITEM, schemas.USER).unique().collect(engine="streaming")
    items, users = pairs[schemas.ITEM].to_numpy(), pairs[schemas.USER].to_numpy()
    return Owners.of(items, users, rows.run.meta.num_items[item_type], rows.run.meta.num_users)


def _playlists(rows: EdgeRows, item_type: str) -> Owners:
    """Playlists have no time, so each counts in every period."""
    table = pl.scan_parquet(rows.run.batches["dataset"].path(schemas.PLAYLISTS_FILE))
    number = table.select(schemas.PLAYLIST_ID).unique().sort(schemas.PLAYLIST_ID).with_row_index("playlist")
    of_type = table.filter(pl.col(schemas.ITEM_TYPE) == item_type)
    pairs = of_type.join(number, on=schemas.PLAYLIST_ID).select(schemas.ITEM, "playlist").unique().collect()
    num_playlists = number.select(pl.len()).collect().item()
    items, playlists = pairs[schemas.ITEM].to_numpy(), pairs["playlist"].to_numpy()
    return Owners.of(items, playlists, rows.run.meta.num_items[item_type], num_playlists)


def _listened(rows: EdgeRows) -> EdgeCount:
    """One for a user and an item that a row joins, else none."""
    num_items, known = rows.run.meta.num_items, dict[str, Ints]()

    def count(relation: Relation, src: Ints, dst: Ints) -> Ints:
        users, items, item_type = (src, dst, relation.dst) if relation.src == USER_NODE else (dst, src, relation.src)
        if item_type not in known:
            known[item_type] = known_pairs(rows.of_type(item_type), num_items[item_type])
        return is_in(pair_keys(users, items, num_items[item_type]), known[item_type]).astype(np.int64)

    return count
