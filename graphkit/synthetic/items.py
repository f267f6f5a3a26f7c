"""The catalogue of the sample world: what items are about, who made them, when they came out, how popular."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.synthetic.draws import Floats, Groups, Ints
from graphkit.synthetic.sizes import AUDIOBOOK, DAY_MS, DAYS, PODCAST, TEST_DAYS, TRACK, TYPES, WorldSize
from graphkit.synthetic.texts import creator_names, write_texts
from graphkit.synthetic.topics import topics_of

LANGUAGES: Final = ("en", "es", "de", "fr", "pt", "sv", "it")
_LANGUAGE_NAMES: Final = ("English", "Spanish", "German", "French", "Portuguese", "Swedish", "Italian")
_LANGUAGE_SHARE: Final = (0.58, 0.12, 0.09, 0.08, 0.06, 0.04, 0.03)
#: Standard deviation of log popularity: what makes the top 20 % of a type take most of its hours.
POPULARITY_SIGMA: Final = {AUDIOBOOK: 2.1, PODCAST: 1.3, TRACK: 1.1}
_ITEMS_PER_CREATOR: Final = {AUDIOBOOK: 3.5, PODCAST: 1.8, TRACK: 8.0}
_SECOND_CELL_SHARE: Final = 0.35
_SECOND_CELL_WEIGHT: Final = 0.4
#: Items that come out inside the window, and those of them that come out in the test period.
_RELEASED_SHARE, _RELEASED_IN_TEST_SHARE = 0.18, 0.03
#: A new item is new to everybody at once, so it is met more often per day than its popularity says.
_NEW_ITEM_BOOST: Final = 2.5


@dataclass(frozen=True)
class Items:
    """The items of one type, and what is drawn from them."""

    item_type: int
    cell: Ints  # [n] subtopic
    second_cell: Ints  # [n] another subtopic, -1: none
    creator: Ints  # [n]
    language: Ints  # [n]
    release_day: Ints  # [n] 0: before the window
    weight: Floats  # [n] popularity
    anchor: Ints  # [cells] an item of each cell that was always there
    by_cell: Groups
    by_creator: Groups
    by_popularity: Groups  # one group: everything

    @property
    def count(self) -> int:
        return len(self.cell)

    @property
    def release_ms(self) -> Ints:
        return self.release_day * DAY_MS


def make_items(rng: np.random.Generator, size: WorldSize, item_type: int) -> Items:
    """The items of a type. Rows are in random order: the row of an item says nothing about it."""
    count, cells = size.items[item_type], size.num_cells
    place = rng.permutation(count)  # the first ``cells`` of these anchor one cell each
    cell = np.empty(count, np.int64)
    cell[place] = np.concatenate([np.arange(cells), rng.integers(cells, size=count - cells)])
    second = np.where(rng.random(count) < _SECOND_CELL_SHARE, rng.integers(cells, size=count), -1)
    second[second == cell] = -1
    creator = _creators(rng, cell, _ITEMS_PER_CREATOR[item_type])
    language = rng.choice(len(LANGUAGES), size=creator.max() + 1, p=_LANGUAGE_SHARE)[creator]
    release = _release_days(rng, count)
    release[place[:cells]] = 0
    weight = np.exp(POPULARITY_SIGMA[item_type] * rng.standard_normal(count)) * np.where(
        release > 0, _NEW_ITEM_BOOST, 1.0
    )
    every = np.arange(count)
    two = np.flatnonzero(second >= 0)
    by_cell = Groups.of(
        np.concatenate([cell, second[two]]),
        np.concatenate([every, two]),
        np.concatenate([weight, weight[two] * _SECOND_CELL_WEIGHT]),
        cells,
    )
    by_creator = Groups.of(creator, every, weight, int(creator.max()) + 1)
    by_popularity = Groups.of(np.zeros(count, np.int64), every, weight, 1)
    return Items(
        item_type, cell, second, creator, language, release, weight, place[:cells], by_cell, by_creator, by_popularity
    )


def _creators(rng: np.random.Generator, cell: Ints, mean_items: float) -> Ints:
    """Creators keep to a cell, or a few neighbouring ones: [n]."""
    order = np.argsort(cell + 0.3 * rng.random(len(cell)))
    creator = np.empty(len(cell), np.int64)
    creator[order] = np.cumsum(rng.random(len(cell)) < 1 / mean_items)
    return creator


def _release_days(rng: np.random.Generator, count: int) -> Ints:
    """The day of the window on which an item comes out: [n], 0 for the many that were there before."""
    chance = rng.random(count)
    early = rng.integers(1, DAYS - TEST_DAYS, size=count)
    late = rng.integers(DAYS - TEST_DAYS, DAYS - 1, size=count)
    day = np.where(chance < _RELEASED_IN_TEST_SHARE, late, early)
    return np.where(chance < _RELEASED_SHARE, day, 0)


def item_ids(item_type: int, items: npt.NDArray[np.integer]) -> pl.Series:
    """The external ids of items of a type."""
    return pl.select(pl.format(TYPES[item_type] + "-{}", pl.Series(items))).to_series()


def items_frame(rng: np.random.Generator, size: WorldSize, items: Items) -> pl.DataFrame:
    """The rows of ``items.parquet`` of one type."""
    topics = topics_of(size.topics, size.subtopics)
    titles, descriptions = write_texts(rng, items.item_type, topics, items.cell.tolist(), items.second_cell.tolist())
    spoken = np.array([f" In {name}." if name != "English" else "" for name in _LANGUAGE_NAMES])
    names = pl.Series(creator_names(items.item_type, int(items.creator.max()) + 1))
    rows = np.arange(items.count, dtype=np.uint32)
    return pl.DataFrame(
        {
            schemas.ITEM_TYPE: pl.repeat(TYPES[items.item_type], items.count, eager=True),
            schemas.ITEM: rows,
            schemas.ITEM_ID: item_ids(items.item_type, rows),
            schemas.TITLE: titles,
            schemas.DESCRIPTION: pl.Series(descriptions) + pl.Series(spoken[items.language].tolist()),
            schemas.LANGUAGE: pl.Series(LANGUAGES).gather(items.language),
            schemas.GENRE: _genres(size, items),
            schemas.CREATOR: names.gather(items.creator),
        }
    )


def _genres(size: WorldSize, items: Items) -> pl.Series:
    """The genre of the cell and, if it is another one, of the second cell."""
    topics = topics_of(size.topics, size.subtopics)
    names = [topic.music if items.item_type == TRACK else topic.genre for topic in topics]
    own = items.cell // size.subtopics
    other = np.where(items.second_cell >= 0, items.second_cell // size.subtopics, own)
    first, second = pl.Series(names).gather(own), pl.Series(names).gather(other)
    both = first + schemas.GENRE_SEPARATOR + second
    return pl.select(pl.when(pl.lit(first) == pl.lit(second)).then(first).otherwise(both)).to_series()
