"""Which items stand together: baskets (playlists, listening sessions) and how often two items share one."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
from scipy import sparse

from graphkit import schemas
from graphkit.config.autoencoder import AutoencoderSection
from graphkit.ties import tie_order
from towers.encoders.source import Source

_BASKET: Final = "basket"
_COLUMN: Final = "column"


class Together(NamedTuple):
    """``pairs``: sparse float32 [all items, all items], symmetric without diagonal, items of all types side by side
    in the dataset's order; a basket of n items gives each of its pairs 1 / (n - 1), so that an item's row sums to
    its baskets. ``counts``: what was read, to be shown."""

    pairs: Any
    counts: dict[str, int]


def count_together(source: Source, settings: AutoencoderSection, seed: int) -> Together:
    """Count the baskets of two or more items that are known at the training moment. Playlists carry no time: they
    must be older than what is predicted."""
    baskets = read_baskets(source, settings)
    counted = _sample(baskets, settings.max_pairs, seed)
    counts = {"baskets": baskets.shape[0], "baskets counted": counted.shape[0]}
    return Together(pair_counts(counted), counts)


def read_baskets(source: Source, settings: AutoencoderSection) -> Any:
    """The baskets of two or more items: sparse 0/1 float32 [num_baskets, all items]."""
    num_items = sum(source.dataset.meta.num_items.values())
    tables = [table for kind in settings.baskets for table in (_READ[kind](source, settings),) if table is not None]
    matrices = [_matrix(table, num_items, settings.max_basket) for table in tables]
    return sparse.vstack([sparse.csr_array((0, num_items), dtype=np.float32), *matrices], format="csr")


def pair_counts(baskets: Any) -> Any:
    """``Together.pairs`` of sparse 0/1 baskets."""
    weight = 1 / np.sqrt(np.maximum(np.diff(baskets.indptr) - 1, 1))
    scaled = sparse.diags_array(weight.astype(np.float32)) @ baskets
    pairs = (scaled.T @ scaled).tocsr()
    pairs.setdiag(0)
    pairs.eliminate_zeros()
    pairs.sort_indices()
    return pairs


def columns_of(num_items: dict[str, int]) -> dict[str, slice]:
    """Where each type's items stand among those of all types."""
    ends = np.cumsum(list(num_items.values())).tolist()
    return {t: slice(end - n, end) for (t, n), end in zip(num_items.items(), ends, strict=True)}


def _playlists(source: Source, _settings: AutoencoderSection) -> pl.DataFrame | None:
    path = source.dataset.batch.path(schemas.PLAYLISTS_FILE)
    if not path.is_file():
        return None
    rows = pl.read_parquet(path)
    return _placed(rows.with_columns((pl.col(schemas.PLAYLIST_ID).rank("dense") - 1).alias(_BASKET)), source)


def _sessions(source: Source, settings: AutoencoderSection) -> pl.DataFrame:
    """A user's strong rows up to a pause; without timestamps, all of them."""
    rows = source.log(source.training).filter(pl.col(schemas.SIGNAL).is_in(list(source.dataset.meta.strong)))
    time, user = pl.col(schemas.TIMESTAMP), pl.col(schemas.USER)
    ordered = rows.select(schemas.USER, schemas.ITEM_TYPE, schemas.ITEM, schemas.TIMESTAMP).sort(
        schemas.USER, schemas.TIMESTAMP
    )
    paused = time.diff() > pl.duration(seconds=round(3600 * settings.session_gap_hours))
    starts = (user != user.shift(1)).fill_null(True) | paused.fill_null(False)
    return _placed(ordered.with_columns(starts.cum_sum().alias(_BASKET)).collect(), source)


_READ: Final = {"playlists": _playlists, "sessions": _sessions}


def _placed(rows: pl.DataFrame, source: Source) -> pl.DataFrame:
    """Distinct ``basket`` and ``column`` (the item among those of all types)."""
    first = {t: place.start for t, place in columns_of(source.dataset.meta.num_items).items()}
    column = pl.col(schemas.ITEM_TYPE).replace_strict(first, return_dtype=pl.Int64) + pl.col(schemas.ITEM)
    return rows.select(pl.col(_BASKET).cast(pl.Int64), column.alias(_COLUMN)).unique().sort(_BASKET, _COLUMN)


def _matrix(table: pl.DataFrame, num_items: int, max_basket: int) -> Any:
    """Sparse 0/1 float32 [baskets of two or more, num_items]."""
    if table.height:
        key = tie_order(table[_BASKET].to_numpy(), 0) + tie_order(table[_COLUMN].to_numpy(), 1)
        drawn = pl.col("tie").rank("ordinal").over(_BASKET) <= max_basket
        table = table.with_columns(pl.Series("tie", tie_order(key, 2))).filter(drawn)
    table = table.filter(pl.len().over(_BASKET) > 1)
    row = (table[_BASKET].rank("dense") - 1).to_numpy().astype(np.int64)
    values = np.ones(table.height, np.float32)
    shape = (int(row[-1]) + 1 if len(row) else 0, num_items)
    return sparse.csr_array((values, (row, table[_COLUMN].to_numpy())), shape=shape)


def _sample(baskets: Any, max_pairs: int, seed: int) -> Any:
    """As many baskets, in a seeded order, as have ``max_pairs`` ordered pairs together."""
    size = np.diff(baskets.indptr).astype(np.int64)
    if (size * (size - 1)).sum() <= max_pairs:
        return baskets
    order = np.random.default_rng([seed, 0]).permutation(len(size))
    fits = np.cumsum((size * (size - 1))[order]) <= max_pairs
    return baskets[np.sort(order[fits])]
