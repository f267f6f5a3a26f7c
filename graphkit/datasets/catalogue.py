"""The catalogue: the card's items tables, or what the interactions name, with integer ids per type."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from graphkit import schemas
from graphkit.datasets import rejects
from graphkit.datasets.tables import Source
from graphkit.datasets.validate import items_schema

_KEY = (schemas.ITEM_TYPE, schemas.ITEM_ID)
_TEXTS = (schemas.TITLE, schemas.DESCRIPTION, schemas.LANGUAGE, schemas.GENRE, schemas.CREATOR)


def read_catalogue(source: Source, types: Sequence[str]) -> pl.DataFrame:
    """The items tables as one catalogue; of rows with the same type and id the first counts."""
    schema = items_schema(types)
    rows = pl.concat([source.check(source.read(label, table), schema) for label, table in source.of_kind("items")])
    first = rows.select(pl.struct(_KEY).is_first_distinct()).to_series()
    source.reject(rows.filter(~first), schemas.ITEM_ID, rejects.DUPLICATE_ITEM)
    return _numbered(rows.filter(first))


def derive_catalogue(interactions: pl.DataFrame) -> pl.DataFrame:
    """A catalogue without texts: every item that occurs."""
    texts = [pl.lit(None, pl.String).alias(name) for name in _TEXTS]
    return _numbered(interactions.select(_KEY).unique().with_columns(texts))


def _numbered(rows: pl.DataFrame) -> pl.DataFrame:
    # By id, never by a source's order, which is often that of popularity.
    item = pl.int_range(pl.len(), dtype=pl.UInt32).over(schemas.ITEM_TYPE).alias(schemas.ITEM)
    return rows.sort(_KEY).select(schemas.ITEM_TYPE, item, schemas.ITEM_ID, *_TEXTS)


def with_items(source: Source, rows: pl.DataFrame, catalogue: pl.DataFrame, prefix: str = "") -> pl.DataFrame:
    """Rows with their item number, unknown items go to the rejects.

    The number is in ``item``; with the ``prefix`` of one end of a link (``src_``, ``dst_``) in ``src``, ``dst``.
    """
    item_type, item_id = (
        f"{prefix}type" if prefix else schemas.ITEM_TYPE,
        f"{prefix}id" if prefix else schemas.ITEM_ID,
    )
    item = prefix.removesuffix("_") or schemas.ITEM
    known = catalogue.select(
        pl.col(schemas.ITEM_TYPE).alias(item_type),
        pl.col(schemas.ITEM_ID).alias(item_id),
        pl.col(schemas.ITEM).alias(item),
    )
    joined = rows.join(known, on=[item_type, item_id], how="left", maintain_order="left")
    source.reject(joined.filter(pl.col(item).is_null()), item_id, rejects.UNKNOWN_ITEM)
    return joined.filter(pl.col(item).is_not_null())
