"""Playlists as matrices: two items of one playlist are together, as two items of one user are."""

from __future__ import annotations

import polars as pl

from graphkit import schemas
from graphkit.config.sections import GraphSection
from graphkit.datasets.store import Dataset
from graphkit.errors import DataError
from graphkit.graph.listening import Listening, gather
from graphkit.graph.memory import MemoryLimit
from graphkit.graph.occurrences import PAIR, type_code
from graphkit.graph.signals import WEIGHT


def read_playlists(dataset: Dataset, settings: GraphSection, seed: int, limit: MemoryLimit) -> Listening:
    """The playlists' matrices, owners being playlists; of a long one the first ``max_items_per_user`` items count.

    Playlists carry no time: they must be older than what is predicted. Raises DataError where there are none.
    """
    path = dataset.batch.path(schemas.PLAYLISTS_FILE)
    rows = pl.read_parquet(path) if path.is_file() else pl.DataFrame()
    if rows.is_empty():
        raise DataError(
            "graph.kinds asks for playlists, and the dataset has none",
            where=str(path),
            expected="a [playlists] table in the dataset card",
            fix="leave 'playlist' out of graph.kinds",
        )
    playlists = rows[schemas.PLAYLIST_ID].n_unique()
    # The cap keeps the latest: an item counts as the later, the nearer it stands to the top.
    time = (-pl.col(schemas.POSITION).cast(pl.Int64)).cast(pl.Datetime("ms", "UTC")).alias(schemas.TIMESTAMP)
    pairs = (
        rows.with_columns(
            (pl.col(schemas.PLAYLIST_ID).rank("dense") - 1).cast(pl.UInt32).alias(schemas.USER),
            type_code(dataset.meta.types),
            time,
        )
        .group_by(PAIR)
        .agg(pl.lit(1.0, pl.Float32).alias(WEIGHT), pl.col(schemas.TIMESTAMP).max())
        .sort(PAIR)
    )
    plain = settings.model_copy(update={"max_gap_days": None})
    return gather([pairs], playlists, dataset.meta.num_items, plain, seed, limit)
