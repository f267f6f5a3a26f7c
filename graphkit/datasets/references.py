"""Tables that point at items: playlists, and item-item links."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from graphkit import schemas
from graphkit.datasets.catalogue import with_items
from graphkit.datasets.tables import Source
from graphkit.datasets.validate import links_schema, playlists_schema


def read_playlists(source: Source, catalogue: pl.DataFrame, types: Sequence[str]) -> pl.DataFrame | None:
    """Rows ``playlist_id``, ``item_type``, ``item``, ``position``, sorted; None if the card has no playlists."""
    tables = source.of_kind("playlists")
    if not tables:
        return None
    schema = playlists_schema(types)
    rows = pl.concat([source.check(source.read(label, table), schema) for label, table in tables])
    columns = (schemas.PLAYLIST_ID, schemas.ITEM_TYPE, schemas.ITEM, schemas.POSITION)
    return (
        with_items(source, rows, catalogue)
        .select(columns)
        .sort(schemas.PLAYLIST_ID, schemas.POSITION, schemas.ITEM_TYPE, schemas.ITEM)
    )


def read_links(source: Source, catalogue: pl.DataFrame, types: Sequence[str]) -> pl.DataFrame | None:
    """Rows ``src_type``, ``src``, ``dst_type``, ``dst``, ``rank``, ``split``, sorted; None without links."""
    tables = source.of_kind("links")
    if not tables:
        return None
    schema = links_schema(types)
    rows = pl.concat([source.check(source.read(label, table), schema) for label, table in tables])
    for end in ("src_", "dst_"):
        rows = with_items(source, rows, catalogue, prefix=end)
    columns = (schemas.SRC_TYPE, "src", schemas.DST_TYPE, "dst", schemas.RANK, schemas.SPLIT)
    return rows.select(columns).sort(columns)
