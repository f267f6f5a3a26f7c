"""How a weak signal changes the odds of a later stream (paper section 3, observation 4).

The unit is a pair of a user and a title with at least one weak signal that comes before any stream of it:
titles the user showed interest in. The outcome is a stream of the title after the first weak signal. One
logistic regression per signal, outcome on what came before the stream: whether the signal occurred
(``signal_odds``), or how often (``count_odds``).

A pair that is streamed early has less time to gather signals, so the odds err on the low side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas

#: Whether the pair was streamed: a column of ``interest_pairs``.
STREAMED = "streamed"
_FAR = pl.datetime(9999, 1, 1, time_zone="UTC")
#: A coefficient beyond this says that the signal decides the outcome: there is no finite one.
_MAX_LOG_ODDS = 15.0

Floats = npt.NDArray[np.float64]


class SignalOdds(NamedTuple):
    """``exp`` of a logistic regression's coefficient with its 95 % interval, over ``pairs`` pairs."""

    signal: str
    ratio: float
    low: float
    high: float
    pairs: int


def interest_pairs(rows: pl.DataFrame, strong: Sequence[str], weak: Sequence[str]) -> pl.DataFrame:
    """One row a pair with a weak signal before any stream: ``user``, ``streamed`` bool, and a column per weak
    signal, how often it came before the stream. ``rows`` are of one item type, timestamps not null."""
    signal, time = pl.col(schemas.SIGNAL), pl.col(schemas.TIMESTAMP)
    stream = time.filter(signal.is_in(list(strong))).min()
    before = [((signal == name) & (time < stream.fill_null(_FAR))).sum().alias(name) for name in weak]
    pairs = rows.group_by(schemas.USER, schemas.ITEM).agg(stream.is_not_null().alias(STREAMED), *before)
    wanted = pairs.filter(pl.any_horizontal(pl.col(name) > 0 for name in weak))
    return wanted.sort(schemas.USER, schemas.ITEM).select(schemas.USER, STREAMED, *weak)


def signal_odds(rows: pl.DataFrame, strong: Sequence[str], weak: Sequence[str]) -> list[SignalOdds]:
    """The odds ratio of each weak signal's presence in ``rows`` (one item type, timestamps not null).

    With a single binary regressor the regression's solution is the cross-product ratio of the 2 x 2 table,
    with a Wald interval. A signal that all or none of the pairs carry, or that decides the outcome in every
    pair, has no ratio and is left out.
    """
    if not weak:
        return []
    pairs = interest_pairs(rows, strong, weak)
    found = []
    for signal in weak:
        table = [
            pairs.filter(((pl.col(signal) > 0) == has) & (pl.col(STREAMED) == outcome)).height
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


def count_odds(pairs: pl.DataFrame, signal: str) -> SignalOdds | None:
    """By how much one more ``signal`` multiplies the odds of a stream, over ``interest_pairs``.

    The interval allows for a user's pairs being alike (sandwich, clustered by user). None where all pairs
    have the same count or outcome, or the count decides the outcome.
    """
    count = pairs[signal].to_numpy().astype(np.float64)
    streamed = pairs[STREAMED].to_numpy().astype(np.float64)
    if len(np.unique(count)) < 2 or len(np.unique(streamed)) < 2:
        return None
    design = np.stack([np.ones(len(count)), count], axis=1)
    fitted = _fit(design, streamed)
    if fitted is None:
        return None
    coefficients, bread = fitted
    _, user = np.unique(pairs[schemas.USER].to_numpy(), return_inverse=True)
    residual = streamed - _chance(design, coefficients)
    scores = np.stack([np.bincount(user, weights=residual * design[:, i]) for i in (0, 1)], axis=1)
    users = len(scores)
    variance = (bread @ (scores.T @ scores) @ bread)[1, 1] * users / max(users - 1, 1)
    slope, error = float(coefficients[1]), math.sqrt(variance)
    interval = math.exp(slope - 1.96 * error), math.exp(slope + 1.96 * error)
    return SignalOdds(signal, math.exp(slope), *interval, pairs.height)


def _fit(design: Floats, outcome: Floats) -> tuple[Floats, Floats] | None:
    """Coefficients [k] of a logistic regression by Newton's method and the inverse Hessian [k, k]; None where
    there is no finite solution."""
    coefficients = np.zeros(design.shape[1])
    for _ in range(50):
        chance = _chance(design, coefficients)
        weight = chance * (1 - chance)
        hessian = design.T @ (design * weight[:, None])
        if np.linalg.cond(hessian) > 1e12:
            return None
        inverse = np.asarray(np.linalg.inv(hessian), dtype=np.float64)
        step = inverse @ (design.T @ (outcome - chance))
        coefficients += step
        if np.abs(coefficients).max() > _MAX_LOG_ODDS:
            return None
        if np.abs(step).max() < 1e-9:
            return coefficients, inverse
    return None


def _chance(design: Floats, coefficients: Floats) -> Floats:
    chance: Floats = 1 / (1 + np.exp(-np.clip(design @ coefficients, -500, 500)))
    return chance
