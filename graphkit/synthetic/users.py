"""The people of the sample world: who they are, when they are there, and what they like."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from graphkit import schemas
from graphkit.synthetic.draws import Bools, Floats, Ints, draw_column
from graphkit.synthetic.items import LANGUAGES, Items, item_ids
from graphkit.synthetic.sizes import (
    AUDIOBOOK,
    DAY_MS,
    DAYS,
    PODCAST,
    START_MS,
    TEST_DAYS,
    TRACK,
    TYPES,
    WINDOW_MS,
    WorldSize,
)
from graphkit.synthetic.topics import topics_of

_COUNTRIES: Final = ("US", "GB", "CA", "AU", "IE", "ES", "MX", "DE", "AT", "FR", "BR", "SE", "IT")
_COUNTRY_SHARE: Final = (0.26, 0.12, 0.06, 0.05, 0.03, 0.08, 0.06, 0.09, 0.03, 0.08, 0.06, 0.04, 0.04)
_COUNTRY_LANGUAGE: Final = ("en", "en", "en", "en", "en", "es", "es", "de", "de", "fr", "pt", "sv", "it")
#: A taste is spread over this many cells: which of the user's topics each belongs to, and how strongly.
_CELL_TOPIC: Final = (0, 0, 1, 1, 2)
_CELL_STRENGTH: Final = (1.6, 1.0, 1.1, 0.7, 0.6)
#: How much a user's tastes differ between types: standard deviation of the log of a cell's strength.
_TYPE_NOISE: Final = 0.45
#: Standard deviation of log activity, which all types share, and of what each type adds to it.
_ACTIVITY_SIGMA, _TYPE_ACTIVITY_SIGMA = 1.15, 0.4
_ADOPTERS: Final = {AUDIOBOOK: 0.58, PODCAST: 0.88, TRACK: 0.97}
#: Share of the audiobook adopters who start in the test period: cold then, and worth recommending to.
_LATE_ADOPTERS: Final = 0.10
_PODCASTS_FROM_THE_START: Final = 0.82
_AGE_BANDS: Final = (18, 25, 35, 45, 55, 65)


@dataclass(frozen=True)
class Users:
    """A block of users. Times are milliseconds since the window's start."""

    first: int  # the number of the block's first user
    country: Ints  # [n]
    age: Ints  # [n]
    speaks: Bools  # [n, languages]
    cells: Ints  # [n, 5]
    strength: Floats  # [types, n, 5]
    activity: Floats  # [types, n], mean about 1
    adopts: Bools  # [types, n]
    opens_ms: Ints  # [types, n] from when on a user may meet items of a type
    leaves_ms: Ints  # [n]
    registered_ms: Ints  # [n] negative: before the window
    session: Floats  # [n] how long this user's sessions are, relative to others'

    @property
    def count(self) -> int:
        return len(self.age)


def draw_users(rng: np.random.Generator, size: WorldSize, block: range) -> Users:
    """The users of a block, with their latent tastes."""
    n = len(block)
    country = rng.choice(len(_COUNTRIES), size=n, p=_COUNTRY_SHARE)
    age = _ages(rng, n)
    registered, leaves = _stays(rng, n)
    adopts = np.array([rng.random(n) < _ADOPTERS[t] for t in range(len(TYPES))])
    adopts[TRACK] |= ~adopts[PODCAST]
    late = adopts[AUDIOBOOK] & (rng.random(n) < _LATE_ADOPTERS)
    leaves[late] = WINDOW_MS
    cells, strength = _tastes(rng, size, age)
    own = _ACTIVITY_SIGMA * rng.standard_normal(n) + _TYPE_ACTIVITY_SIGMA * rng.standard_normal((len(TYPES), n))
    variance = _ACTIVITY_SIGMA**2 + _TYPE_ACTIVITY_SIGMA**2
    return Users(
        first=block.start,
        country=country,
        age=age,
        speaks=_languages(rng, country),
        cells=cells,
        strength=strength,
        activity=np.exp(own - variance / 2),
        adopts=adopts,
        opens_ms=_openings(rng, np.maximum(registered, 0), leaves, late),
        leaves_ms=leaves,
        registered_ms=registered,
        session=np.exp(0.45 * rng.standard_normal(n)),
    )


def _ages(rng: np.random.Generator, n: int) -> Ints:
    young = rng.random(n) < 0.55
    years = np.where(young, rng.normal(27, 7, n), rng.normal(47, 13, n))
    return np.clip(years, 14, 88).astype(np.int64)


def _stays(rng: np.random.Generator, n: int) -> tuple[Ints, Ints]:
    """When users registered and when they leave, both [n]; most were there before and stay to the end."""
    new = rng.random(n) < 0.25
    days = np.where(new, rng.uniform(0, DAYS - 4, n), -1 - rng.exponential(500, n))
    registered = (days * DAY_MS).astype(np.int64)
    here = np.maximum(registered, 0)
    leaving = rng.random(n) < 0.15
    part = rng.uniform(0.2, 1.0, n)
    return registered, np.where(leaving, here + (part * (WINDOW_MS - here)).astype(np.int64), WINDOW_MS)


def _openings(rng: np.random.Generator, here: Ints, leaves: Ints, late: Bools) -> Ints:
    """When each type opens to a user: tracks at once, podcasts for most at once, audiobooks later: [types, n]."""
    opens = np.tile(here, (len(TYPES), 1))
    stay = leaves - here
    later = rng.random(len(here)) >= _PODCASTS_FROM_THE_START
    opens[PODCAST] += np.where(later, rng.uniform(0, 0.9, len(here)) * stay, 0).astype(np.int64)
    opens[AUDIOBOOK] += (rng.uniform(0.02, 0.95, len(here)) * stay).astype(np.int64)
    test = rng.uniform(WINDOW_MS - TEST_DAYS * DAY_MS, WINDOW_MS - DAY_MS, len(here))
    opens[AUDIOBOOK] = np.where(late, np.maximum(here, test.astype(np.int64)), opens[AUDIOBOOK])
    return opens


def _languages(rng: np.random.Generator, country: Ints) -> Bools:
    """The country's language, English for most, and now and then another one: [n, languages]."""
    n = len(country)
    own = np.array([LANGUAGES.index(language) for language in _COUNTRY_LANGUAGE])[country]
    speaks = np.zeros((n, len(LANGUAGES)), np.bool_)
    speaks[np.arange(n), own] = True
    speaks[:, 0] |= rng.random(n) < 0.75
    speaks[np.arange(n), rng.integers(len(LANGUAGES), size=n)] |= rng.random(n) < 0.12
    return speaks


def _tastes(rng: np.random.Generator, size: WorldSize, age: Ints) -> tuple[Ints, Floats]:
    """Cells [n, 5], and per type their strengths [types, n, 5]: a shared taste with a type's own noise."""
    n = len(age)
    slope = np.array([topic.age_slope for topic in topics_of(size.topics, size.subtopics)])
    band = np.searchsorted(_AGE_BANDS, age)
    appeal = np.exp(slope * (np.arange(len(_AGE_BANDS) + 1)[:, None] - 2) / 2)  # [bands, topics]
    topics = np.stack([draw_column(rng, appeal[band]) for _ in range(max(_CELL_TOPIC) + 1)], axis=1)
    cells = topics[:, _CELL_TOPIC] * size.subtopics + rng.integers(size.subtopics, size=(n, len(_CELL_TOPIC)))
    shared = rng.gamma(1.0, _CELL_STRENGTH, size=(n, len(_CELL_TOPIC))) + 0.02
    noise = np.exp(_TYPE_NOISE * rng.standard_normal((len(TYPES), *shared.shape)))
    return cells, shared * noise


def users_frame(rng: np.random.Generator, users: Users, catalogue: tuple[Items, ...]) -> pl.DataFrame:
    """The rows of ``users.parquet`` of a block."""
    n = users.count
    number = np.arange(users.first, users.first + n, dtype=np.uint32)
    age = pl.Series(users.age, dtype=pl.Int16)
    registered = pl.Series(users.registered_ms + START_MS).cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")
    told = pl.Series(rng.random(n) < 0.94)
    return pl.DataFrame(
        {
            schemas.USER: number,
            schemas.USER_ID: pl.select(pl.format("user-{}", pl.Series(number))).to_series(),
            schemas.AGE: pl.select(pl.when(told).then(age)).to_series(),
            schemas.COUNTRY: pl.Series(_COUNTRIES).gather(users.country),
            schemas.REGISTERED_AT: registered,
            schemas.ONBOARDING_ITEMS: _onboarding_items(rng, users, catalogue),
            schemas.ONBOARDING_LANGUAGES: _lists(
                n, np.nonzero(users.speaks)[0], pl.Series(LANGUAGES).gather(np.nonzero(users.speaks)[1])
            ),
        }
    )


def _onboarding_items(rng: np.random.Generator, users: Users, catalogue: tuple[Items, ...]) -> pl.Series:
    """What a user picked when asked for favourites: up to four well-known items of the own taste, or nothing."""
    count = np.where(rng.random(users.count) < 0.6, rng.integers(1, 5, size=users.count), 0)
    owner = np.repeat(np.arange(users.count), count)
    item_type = rng.choice(len(TYPES), size=len(owner), p=(0.15, 0.4, 0.45))
    column = draw_column(rng, users.strength[item_type, owner])
    cell = users.cells[owner, column]
    ids = pl.Series([""]).clear()
    parts, owners = [ids], [owner[:0]]
    for items in catalogue:
        mine = item_type == items.item_type
        drawn = items.by_cell.draw(rng, cell[mine])
        known = items.release_day[drawn] == 0
        parts.append(item_ids(items.item_type, drawn[known]))
        owners.append(owner[mine][known])
    return _lists(users.count, np.concatenate(owners), pl.concat(parts))


def _lists(n: int, owner: Ints, values: pl.Series) -> pl.Series:
    """Each owner's distinct values as a list, in order; an empty list for who has none: [n]."""
    pairs = pl.DataFrame({"owner": owner, "value": values}).unique(maintain_order=True)
    lists = pairs.group_by("owner", maintain_order=True).agg("value")
    every = pl.DataFrame({"owner": np.arange(n)}).join(lists, on="owner", how="left", maintain_order="left")
    return every["value"].fill_null([])
