"""Playlists: what some users collect, by taste, apart from the log."""

from __future__ import annotations

from typing import Final

import numpy as np
import polars as pl

from graphkit import schemas
from graphkit.synthetic.draws import draw_column
from graphkit.synthetic.items import Items
from graphkit.synthetic.sizes import PODCAST, TRACK, TYPES
from graphkit.synthetic.users import Users

_OWNERS: Final = 0.10
_LONGEST: Final = 25


def playlists_frame(rng: np.random.Generator, users: Users, catalogue: tuple[Items, ...]) -> pl.DataFrame:
    """Rows ``playlist_id``, ``user``, ``item_type``, ``item``, ``position`` (from 0) of a block.

    A playlist holds tracks or podcasts of one cell of its owner's taste that were out before the window,
    so that it tells nothing about the time that is tested.
    """
    owner = np.flatnonzero(rng.random(users.count) < _OWNERS)
    item_type = np.where(rng.random(len(owner)) < 0.85, TRACK, PODCAST)
    cell = users.cells[owner, draw_column(rng, users.strength[item_type, owner])]
    length = rng.integers(5, _LONGEST + 1, size=len(owner))
    row = np.repeat(np.arange(len(owner)), length)
    item = np.empty(len(row), np.int64)
    known = np.empty(len(row), np.bool_)
    for t in (PODCAST, TRACK):
        mine = item_type[row] == t
        item[mine] = catalogue[t].by_cell.draw(rng, cell[row[mine]])
        known[mine] = catalogue[t].release_day[item[mine]] == 0
    number = (users.first + owner)[row].astype(np.uint32)
    frame = pl.DataFrame(
        {
            schemas.PLAYLIST_ID: pl.select(pl.format("playlist-{}", pl.Series(number))).to_series(),
            schemas.USER: number,
            schemas.ITEM_TYPE: pl.Series(TYPES).gather(item_type[row]),
            schemas.ITEM: item.astype(np.uint32),
        }
    )
    position = pl.int_range(pl.len(), dtype=pl.UInt32).over(schemas.PLAYLIST_ID).alias(schemas.POSITION)
    return frame.filter(pl.Series(known)).unique(maintain_order=True).with_columns(position)
