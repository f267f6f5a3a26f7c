"""How a weak signal changes the odds of a later stream (paper section 3, observation 4).

The unit is a pair of a user and a title with at least one weak signal that comes before any stream of it:
titles the user showed interest in. The outcome is a stream of the title after the first weak signal. One
logistic regression per signal, outcome on "this signal occurred before the stream"; with a single binary
regressor its solution is the cross-product ratio of the 2 x 2 table, which is what is computed here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import polars as pl

from graphkit import schemas


class SignalOdds(NamedTuple):
    """``exp`` of a logistic regression's coefficient with its 95 % Wald interval, over ``pairs`` pairs."""

    signal: str
    ratio: float
    low: float
    high: float
    pairs: int


def signal_odds(rows: pl.DataFrame, strong: Sequence[str], weak: Sequence[str]) -> list[SignalOdds]:
    """The odds ratio of each weak signal in ``rows`` (one item type, timestamps not null).

    A signal that all or none of the pairs carry, or that decides the outcome in every pair, has no ratio
    and is left out.
    """
    if not weak:
        return []
    pairs = _pairs(rows, strong, weak)
    found = []
    for signal in weak:
        table = [
            pairs.filter((pl.col(signal) == has) & (pl.col("streamed") == outcome)).height
            for has in (True, False)
            for outcome in (True, False)
        ]
        if min(table) == 0:
            continue
        yes_stream, yes_none, no_stream, no_none = table
        log_odds = math.log(yes_stream * no_none / (yes_none * no_stream))
        error = math.sqrt(sum(1 / cell for cell in table))
        interval = math.exp(log_odds - 1.96 * error), math.exp(log_odds + 1.96 * error)
        found.append(SignalOdds(signal, math.exp(log_odds), *interval, pairs.height))
    return found


def _pairs(rows: pl.DataFrame, strong: Sequence[str], weak: Sequence[str]) -> pl.DataFrame:
    """One row a pair: whether each weak signal came before the stream, and whether there was one."""
    signal, time = pl.col(schemas.SIGNAL), pl.col(schemas.TIMESTAMP)
    firsts = [time.filter(signal == name).min().alias(name) for name in weak]
    stream = time.filter(signal.is_in(list(strong))).min().alias("stream")
    touched = rows.group_by(schemas.USER, schemas.ITEM).agg(stream, *firsts)
    before = [(pl.col(name) < pl.col("stream").fill_null(pl.datetime(9999, 1, 1, time_zone="UTC"))) for name in weak]
    occurred = [b.fill_null(False).alias(name) for b, name in zip(before, weak, strict=True)]
    return touched.select(pl.col("stream").is_not_null().alias("streamed"), *occurred).filter(
        pl.any_horizontal(*weak)
    )
