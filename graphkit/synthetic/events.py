"""The log of a block of users: streams with their seconds, and the weak signals before them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.synthetic.draws import Bools, Floats, Ints, round_keeping_total
from graphkit.synthetic.items import Items
from graphkit.synthetic.pairs import Pairs, draw_pairs
from graphkit.synthetic.signals import WEAK, plant
from graphkit.synthetic.sizes import AUDIOBOOK, DAY_MS, PODCAST, START_MS, TRACK, TYPES, WINDOW_MS
from graphkit.synthetic.users import Users

STREAM: Final = "stream"
_SIGNALS: Final = (STREAM, *WEAK)
#: How often an item is streamed again, relative to other types, and for how many days.
_RETURNS: Final = {AUDIOBOOK: 3.0, PODCAST: 1.8, TRACK: 0.9}
#: Exponents of a user's activity and of an item's popularity in that.
_USER_DEVOTION, _ITEM_DEVOTION = 0.5, 0.25
#: Days after which an item has been streamed again as often as it ever is, but for 1/e.
_SETTLING_DAYS: Final = 10.0
_SPAN_DAYS: Final = {AUDIOBOOK: 12.0, PODCAST: 60.0, TRACK: 45.0}
#: Mean of a stream, and the standard deviation of its log.
_MINUTES: Final = {AUDIOBOOK: (34.0, 0.7), PODCAST: (28.0, 0.6), TRACK: (3.4, 0.25)}
_MOST_SECONDS: Final = 4 * 3600
#: The weak signals of a pair come within this long before the stream they announce, on average.
_LEAD_DAYS: Final = 6.0
#: Listening by hour of the day, from midnight: commutes, lunch, evenings.
_HOURS: Final = (3, 2, 1, 1, 1, 2, 4, 8, 10, 7, 5, 5, 7, 6, 5, 5, 6, 9, 10, 9, 9, 10, 8, 5)


@dataclass(frozen=True)
class Log:
    """Rows of one type, in any order."""

    item_type: int
    user: Ints
    item: Ints
    signal: Ints  # index into stream and WEAK
    time_ms: Ints
    seconds: npt.NDArray[np.float32]  # NaN: not a stream


def draw_log(
    rng: np.random.Generator, users: Users, catalogue: tuple[Items, ...], num_interactions: int
) -> list[Log]:
    """The log of a block, of ``num_interactions`` rows over all types, pairs and signals included."""
    pairs = [draw_pairs(rng, users, items) for items in catalogue]
    planted = [plant(rng, items.item_type, p.meets_ms) for items, p in zip(catalogue, pairs, strict=True)]
    fixed = sum(int(signals.sum() + streamed.sum()) for signals, streamed in planted)
    returns = [
        _returns(rng, users, items, p) * streamed
        for items, p, (_, streamed) in zip(catalogue, pairs, planted, strict=True)
    ]
    room = max(num_interactions - fixed, 0)
    again = round_keeping_total(rng, np.concatenate(returns) * (room / sum(r.sum() for r in returns)))
    each = np.split(again, np.cumsum([len(r) for r in returns])[:-1])
    return [
        _log(rng, users, items.item_type, p, *plan, extra)
        for items, p, plan, extra in zip(catalogue, pairs, planted, each, strict=True)
    ]


def _returns(rng: np.random.Generator, users: Users, items: Items, pairs: Pairs) -> Floats:
    """How often each pair's item is streamed again, up to a factor: [n].

    More by busy users and of popular items, less where little time is left.
    """
    t = items.item_type
    days_left = (users.leaves_ms[pairs.user] - pairs.meets_ms) / DAY_MS
    devotion = users.activity[t][pairs.user] ** _USER_DEVOTION * items.weight[pairs.item] ** _ITEM_DEVOTION
    settled: Floats = -np.expm1(-np.maximum(days_left, 0.1) / _SETTLING_DAYS)
    again: Floats = _RETURNS[t] * rng.exponential(size=len(pairs.user)) * devotion * settled
    return again


def _log(
    rng: np.random.Generator, users: Users, t: int, pairs: Pairs, signals: Bools, streamed: Bools, again: Ints
) -> Log:
    first = np.flatnonzero(streamed)
    repeat = np.repeat(np.arange(len(again)), again)
    left = np.maximum(users.leaves_ms[pairs.user] - 1 - pairs.meets_ms, 0)
    span = np.minimum(left, rng.exponential(_SPAN_DAYS[t] * DAY_MS, len(left)))
    after = (span[repeat] * rng.random(len(repeat))).astype(np.int64)
    weak_pair, weak_kind = np.nonzero(signals)
    lead = np.minimum(rng.exponential(_LEAD_DAYS * DAY_MS, len(signals)), pairs.meets_ms - pairs.earliest_ms)
    before = np.maximum(lead[weak_pair] * rng.random(len(weak_pair)), 1_000).astype(np.int64)
    row = np.concatenate([first, repeat, weak_pair])
    num_streams = len(first) + len(repeat)
    shift = np.concatenate([np.zeros_like(first), after, -before])
    return Log(
        t,
        pairs.user[row],
        pairs.item[row],
        np.concatenate([np.zeros(num_streams, np.int64), 1 + weak_kind]),
        _by_the_clock(pairs.meets_ms[row] + shift),
        _seconds(rng, t, users.session[pairs.user[row]], num_streams),
    )


def _by_the_clock(time_ms: Ints) -> Ints:
    """Times moved within their day towards the hours in which people listen; the order of times stays."""
    edges = np.concatenate([[0.0], np.cumsum(_HOURS)]) / sum(_HOURS)
    rest = time_ms % DAY_MS
    moved: Ints = np.interp(rest / DAY_MS, edges, np.arange(25) * (DAY_MS / 24)).astype(np.int64)
    return time_ms - rest + np.minimum(moved, DAY_MS - 1)


def _seconds(rng: np.random.Generator, t: int, session: Floats, num_streams: int) -> npt.NDArray[np.float32]:
    mean, sigma = _MINUTES[t]
    seconds = np.full(len(session), np.nan, np.float32)
    length = 60 * mean * np.exp(sigma * rng.standard_normal(num_streams) - sigma**2 / 2)
    habit = 1.0 if t == TRACK else session[:num_streams]
    seconds[:num_streams] = np.clip(length * habit, 5, _MOST_SECONDS)
    return np.round(seconds, 1)


def interactions_frame(logs: list[Log], first_user: int) -> pl.DataFrame:
    """The rows of a block in the layout of the dataset artefact, by user, then time (without ``split``)."""
    user = np.concatenate([log.user for log in logs])
    time_ms = np.concatenate([log.time_ms for log in logs])
    item_type = np.repeat([log.item_type for log in logs], [len(log.user) for log in logs])
    order = np.argsort(user * WINDOW_MS + time_ms, kind="stable")
    signal = np.concatenate([log.signal for log in logs])[order]
    seconds = pl.Series(np.concatenate([log.seconds for log in logs])[order], nan_to_null=True)
    time = pl.Series(time_ms[order] + START_MS).cast(pl.Datetime("ms")).dt.replace_time_zone("UTC")
    return pl.DataFrame(
        {
            schemas.USER: (user[order] + first_user).astype(np.uint32),
            schemas.ITEM_TYPE: pl.Series(TYPES).gather(item_type[order]),
            schemas.ITEM: np.concatenate([log.item for log in logs])[order].astype(np.uint32),
            schemas.SIGNAL: pl.Series(_SIGNALS).gather(signal),
            schemas.TIMESTAMP: time,
            schemas.SECONDS: seconds,
        }
    )
