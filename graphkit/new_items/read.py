"""The tables of new items and of their edges, read and checked against the catalogue and the graph's relations."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import polars as pl

from graphkit import schemas
from graphkit.datasets import rejects
from graphkit.datasets.cards import ItemsCard, NewEdgesCard
from graphkit.datasets.plain_files import nothing_left, plain_source, read_plain
from graphkit.datasets.rejects import Rejects
from graphkit.datasets.tables import Source
from graphkit.datasets.validate import items_schema, new_edges_schema
from graphkit.graph.store import CO_LISTENING, Relation
from graphkit.text import item_texts

IN_CATALOGUE: Final = "in the catalogue already"
NO_TEXT_NO_EDGE: Final = "no text and no edge"
NOT_NEW: Final = "not among the new items"
UNKNOWN_NEIGHBOUR: Final = "unknown neighbour"
OWN_NEIGHBOUR: Final = "edge to itself"
UNKNOWN_RELATION: Final = "relation that the graph does not have"

_FIXES: Final = {
    IN_CATALOGUE: "leave the item out: it has an embedding",
    NO_TEXT_NO_EDGE: "give the item a title or a description, or an edge",
    NOT_NEW: "give the item a row of its own in the table of items; edges lead from a neighbour to a new item",
    UNKNOWN_NEIGHBOUR: "name an item of the catalogue or a new one, by its id and its type",
    OWN_NEIGHBOUR: "leave the edge out",
    UNKNOWN_RELATION: "leave the edge out: the network was not trained with such edges",
    rejects.UNKNOWN_TYPE: "write the type as the dataset has it",
    rejects.DUPLICATE_ITEM: "keep one row per item",
    rejects.BAD_WEIGHT: "give a number above zero, or no weight",
    rejects.NULL_KEY: "give every row its ids and types",
}
_TABLES: Final = {"items": ItemsCard, "edges": NewEdgesCard}
_KEY: Final = (schemas.ITEM_TYPE, schemas.ITEM_ID)
_NEIGHBOUR: Final = (schemas.NEIGHBOUR_TYPE, schemas.NEIGHBOUR_ID)
_EDGE: Final = (*_KEY, *_NEIGHBOUR, schemas.KIND)


@dataclass(frozen=True)
class NewItems:
    """The usable rows. ``items``: the canonical columns and ``row`` (u32, 0..n-1 within the type), sorted by type
    and id. ``edges``: one row a directed edge into a new item, ``kind`` and ``weight`` filled in."""

    items: pl.DataFrame
    edges: pl.DataFrame
    rejects: Rejects
    duplicate_edges: int


@dataclass(frozen=True)
class Known:
    """What new items are checked against; ``reads_text``: whether a text says anything to the network."""

    types: tuple[str, ...]
    catalogue: pl.DataFrame
    relations: Collection[Relation]
    reads_text: bool


def read_new_items(items: Path, edges: Path | None, known: Known, strict: bool = False) -> NewItems:
    """Read and check the tables; rows that cannot be used go to the rejects, ``strict`` refuses them.

    An edge between two new items goes both ways; one that is given twice counts once. Raises DataError for a file
    that cannot be read, for a missing column, and where no item is left.
    """
    files = {"items": items} | ({"edges": edges} if edges is not None else {})
    source = plain_source(files, _TABLES, _FIXES)
    named = _named_items(source, known)
    joined, duplicates = _joined(source, named, known)
    usable = _with_something(source, named, joined, known.reads_text)
    source.rejects.refuse(strict, max_share=1)
    if usable.is_empty():
        expected = "one item or more of a known type, with an id of its own, and a text or an edge"
        raise nothing_left(source, items, "new items", expected)
    row = pl.int_range(pl.len(), dtype=pl.UInt32).over(schemas.ITEM_TYPE).alias("row")
    return NewItems(usable.sort(_KEY).with_columns(row), joined, source.rejects, duplicates)


def _named_items(source: Source, known: Known) -> pl.DataFrame:
    """Items of a known type and with an id that is nowhere else; of rows with the same id the first counts."""
    rows = source.check(read_plain(source, "items"), items_schema(known.types))
    rows = _require_not(source, rows, _among(rows, _KEY, known.catalogue), schemas.ITEM_ID, IN_CATALOGUE)
    again = ~rows.select(pl.struct(_KEY).is_first_distinct()).to_series()
    return _require_not(source, rows, again, schemas.ITEM_ID, rejects.DUPLICATE_ITEM)


def _joined(source: Source, named: pl.DataFrame, known: Known) -> tuple[pl.DataFrame, int]:
    """The edges into new items, and how many rows said again what another one had said."""
    if "edges" not in source.files:
        return pl.DataFrame(schema={n: schemas.polars_dtype(c.dtype) for n, c in schemas.NEW_EDGES.items()}), 0
    rows = source.check(read_plain(source, "edges"), new_edges_schema(known.types)).with_columns(
        pl.col(schemas.KIND).fill_null(CO_LISTENING), pl.col(schemas.WEIGHT).fill_null(1.0)
    )
    rows = _require_not(source, rows, ~_among(rows, _KEY, named), schemas.ITEM_ID, NOT_NEW)
    there = pl.concat([known.catalogue.select(_KEY), named.select(_KEY)])
    rows = _require_not(source, rows, ~_among(rows, _NEIGHBOUR, there), schemas.NEIGHBOUR_ID, UNKNOWN_NEIGHBOUR)
    itself = pl.all_horizontal(pl.col(a) == pl.col(b) for a, b in zip(_KEY, _NEIGHBOUR, strict=True))
    rows = _require_not(source, rows, rows.select(itself).to_series(), schemas.NEIGHBOUR_ID, OWN_NEIGHBOUR)
    rows = _of_known_relations(source, rows, known.relations)
    once = rows.unique(_EDGE, keep="first", maintain_order=True)
    back = once.filter(_among(once, _NEIGHBOUR, named)).rename(
        dict(zip((*_KEY, *_NEIGHBOUR), (*_NEIGHBOUR, *_KEY), strict=True))
    )
    both = pl.concat([once, back.select(once.columns)]).unique(_EDGE, keep="first", maintain_order=True)
    return both.select(list(schemas.NEW_EDGES)), rows.height - once.height


def _of_known_relations(source: Source, rows: pl.DataFrame, relations: Collection[Relation]) -> pl.DataFrame:
    found = [Relation(*ends) for ends in rows.select(schemas.NEIGHBOUR_TYPE, schemas.KIND, schemas.ITEM_TYPE).rows()]
    unknown = pl.Series([relation not in relations for relation in found], dtype=pl.Boolean)
    named = rows.with_columns(pl.Series(schemas.KIND, [relation.name for relation in found], dtype=pl.String))
    _require_not(source, named, unknown, schemas.KIND, UNKNOWN_RELATION)  # the rejects show the relation's name
    return rows.filter(~unknown)


def _with_something(source: Source, named: pl.DataFrame, joined: pl.DataFrame, reads_text: bool) -> pl.DataFrame:
    """Items that the network can say something about."""
    text = pl.Series([reads_text and text is not None for text in item_texts(named)], dtype=pl.Boolean)
    nothing = ~text & ~_among(named, _KEY, joined)
    return _require_not(source, named, nothing, schemas.TITLE, NO_TEXT_NO_EDGE)


def _among(rows: pl.DataFrame, key: tuple[str, ...], there: pl.DataFrame) -> pl.Series:
    """Which rows name, in the columns ``key`` (type, id), an item that ``there`` has."""
    wanted = there.select(_KEY).unique().with_columns(pl.lit(True).alias("__there"))
    found = rows.select(key).join(wanted, left_on=key, right_on=_KEY, how="left", maintain_order="left")
    return found["__there"].fill_null(False)


def _require_not(source: Source, rows: pl.DataFrame, bad: pl.Series, column: str, reason: str) -> pl.DataFrame:
    source.reject(rows.filter(bad), column, reason)
    return rows.filter(~bad)
