"""Column names, dtypes and file names of every table: named here once, used everywhere.

Source files carry external string ids. From the dataset artefact on, users and items are contiguous
integers: ``user`` is a row of ``users.parquet``, ``item`` a row number *within its type*.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    import polars as pl

# --- source (canonical) columns, before ids become integers -------------------------------------
USER_ID: Final = "user_id"
ITEM_ID: Final = "item_id"
ITEM_TYPE: Final = "item_type"
SIGNAL: Final = "signal"
TIMESTAMP: Final = "timestamp"
SECONDS: Final = "seconds"
SPLIT: Final = "split"
TITLE: Final = "title"
DESCRIPTION: Final = "description"
LANGUAGE: Final = "language"
GENRE: Final = "genre"
CREATOR: Final = "creator"
AGE: Final = "age"
BIRTH_YEAR: Final = "birth_year"
COUNTRY: Final = "country"
REGISTERED_AT: Final = "registered_at"
ONBOARDING_ITEMS: Final = "onboarding_items"
ONBOARDING_LANGUAGES: Final = "onboarding_languages"
PLAYLIST_ID: Final = "playlist_id"
POSITION: Final = "position"
SRC_ID: Final = "src_id"
SRC_TYPE: Final = "src_type"
DST_ID: Final = "dst_id"
DST_TYPE: Final = "dst_type"
RANK: Final = "rank"
NEIGHBOUR_ID: Final = "neighbour_id"
NEIGHBOUR_TYPE: Final = "neighbour_type"
KIND: Final = "kind"
WEIGHT: Final = "weight"
VECTOR: Final = "vector"
AS_OF: Final = "as_of"

# --- integer ids inside the dataset artefact -----------------------------------------------------
USER: Final = "user"
ITEM: Final = "item"

# --- values of the split column ------------------------------------------------------------------
TRAIN: Final = "train"
TEST: Final = "test"

#: Several genres of one item are joined by this character in the ``genre`` column.
GENRE_SEPARATOR: Final = "|"

# --- files of the dataset artefact ---------------------------------------------------------------
INTERACTIONS_DIR: Final = "interactions"
ITEMS_FILE: Final = "items.parquet"
USERS_FILE: Final = "users.parquet"
PLAYLISTS_FILE: Final = "playlists.parquet"
LINKS_FILE: Final = "links.parquet"
REJECTED_FILE: Final = "rejected.parquet"
DAYS_FILE: Final = "days.parquet"
DATASET_FILE: Final = "dataset.json"


class Column(NamedTuple):
    """One canonical column: its Polars dtype by name, and whether a source must have it."""

    dtype: str
    required: bool = False
    nullable: bool = True


INTERACTIONS: Final = {
    USER_ID: Column("str", required=True, nullable=False),
    ITEM_ID: Column("str", required=True, nullable=False),
    ITEM_TYPE: Column("str", required=True, nullable=False),
    SIGNAL: Column("str", required=True, nullable=False),
    TIMESTAMP: Column("datetime"),
    SECONDS: Column("f32"),
    SPLIT: Column("str"),
}
ITEMS: Final = {
    ITEM_ID: Column("str", required=True, nullable=False),
    ITEM_TYPE: Column("str", required=True, nullable=False),
    TITLE: Column("str"),
    DESCRIPTION: Column("str"),
    LANGUAGE: Column("str"),
    GENRE: Column("str"),
    CREATOR: Column("str"),
}
USERS: Final = {
    USER_ID: Column("str", required=True, nullable=False),
    AGE: Column("i16"),
    BIRTH_YEAR: Column("i16"),
    COUNTRY: Column("str"),
    REGISTERED_AT: Column("datetime"),
    ONBOARDING_ITEMS: Column("list[str]"),
    ONBOARDING_LANGUAGES: Column("list[str]"),
}
PLAYLISTS: Final = {
    PLAYLIST_ID: Column("str", required=True, nullable=False),
    ITEM_ID: Column("str", required=True, nullable=False),
    ITEM_TYPE: Column("str", required=True, nullable=False),
    POSITION: Column("u32"),
}
LINKS: Final = {
    SRC_ID: Column("str", required=True, nullable=False),
    SRC_TYPE: Column("str", required=True, nullable=False),
    DST_ID: Column("str", required=True, nullable=False),
    DST_TYPE: Column("str", required=True, nullable=False),
    RANK: Column("u32"),
    SPLIT: Column("str"),
}
#: What joins items that are new to their neighbours, in the catalogue or new themselves.
NEW_EDGES: Final = {
    ITEM_ID: Column("str", required=True, nullable=False),
    ITEM_TYPE: Column("str", required=True, nullable=False),
    NEIGHBOUR_ID: Column("str", required=True, nullable=False),
    NEIGHBOUR_TYPE: Column("str", required=True, nullable=False),
    KIND: Column("str"),
    WEIGHT: Column("f32"),
}
#: Vectors of users that were made elsewhere; ``as_of``: before the label period (fit) or the cut-off (serve).
USER_VECTORS: Final = {
    USER_ID: Column("str", required=True, nullable=False),
    VECTOR: Column("list[f32]", required=True, nullable=False),
    AS_OF: Column("str"),
}


def polars_dtype(name: str) -> pl.DataType:
    """The Polars dtype behind a dtype name of the tables above."""
    import polars as pl

    return {
        "str": pl.String(),
        "f32": pl.Float32(),
        "i16": pl.Int16(),
        "u32": pl.UInt32(),
        "datetime": pl.Datetime("ms", "UTC"),
        "list[str]": pl.List(pl.String()),
        "list[f32]": pl.List(pl.Float32()),
    }[name]
