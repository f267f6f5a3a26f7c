"""Weak signals: the odds of a stream after each, and which occur together (paper section 3, appendix B)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from graphkit import schemas
from graphkit.datasets.store import Dataset
from graphkit.datasets.weak_signals import STREAMED, SignalOdds, count_odds, interest_pairs
from graphkit.describe.figures import Figure, Floats, NotMeasurable
from graphkit.describe.sample import MAX_USERS

_RESAMPLES: Final = 1000
#: The paper's increase of the odds per signal.
PAPER_ODDS: Final = {"follow": 2.18, "preview": 1.18, "intent_to_pay": 1.13}


@dataclass(frozen=True)
class WeakSignal:
    """One weak signal: the odds ratio of a stream per ``one_more`` of it, and of ``any`` against none."""

    signal: str
    one_more: Figure | NotMeasurable
    any: Figure | NotMeasurable
    pairs_with: int
    pairs: int
    streamed: int


@dataclass(frozen=True)
class CoOccurrence:
    """Of the user-title pairs with signal i, the share that also has signal j: ``also[i][j]``; and of all
    pairs, the share with signal i: ``share[i]``. Intervals are a bootstrap over users."""

    signals: list[str]
    also: list[list[Figure | None]]
    share: list[Figure]
    pairs: int


@dataclass(frozen=True)
class WeakSignals:
    """What the weak signals of one target type say; ``scope`` is what they were measured on."""

    scope: str
    odds: list[WeakSignal] | NotMeasurable
    together: CoOccurrence


def weak_signals(dataset: Dataset, target: str, seed: int, max_users: int = MAX_USERS) -> WeakSignals | NotMeasurable:
    """Odds and co-occurrence of ``target``'s weak signals in train, of at most ``max_users`` users."""
    meta = dataset.meta
    if not meta.weak:
        return NotMeasurable("the dataset has no weak signals")
    named = [*meta.strong, *meta.weak]
    rows = dataset.interactions(schemas.TRAIN, named).filter(pl.col(schemas.ITEM_TYPE) == target)
    users = rows.select(pl.col(schemas.USER).unique().sort()).collect(engine="streaming")[schemas.USER]
    chosen = users.gather_every(max(1, -(-users.len() // max_users)))
    columns = (schemas.USER, schemas.ITEM, schemas.SIGNAL, schemas.TIMESTAMP)
    sampled = rows.filter(pl.col(schemas.USER).is_in(chosen.implode())).select(columns).collect(engine="streaming")
    if sampled.filter(pl.col(schemas.SIGNAL).is_in(list(meta.weak))).is_empty():
        return NotMeasurable(f"no {target} has a weak signal in train")
    part = "all" if chosen.len() == users.len() else f"{chosen.len():,} of"
    scope = f"{part} {users.len():,} users with any signal of {target}, all of train"
    return WeakSignals(scope, _odds(sampled, meta.strong, meta.weak), co_occurrence(sampled, named, seed))


def _odds(rows: pl.DataFrame, strong: Sequence[str], weak: Sequence[str]) -> list[WeakSignal] | NotMeasurable:
    if rows[schemas.TIMESTAMP].null_count():
        return NotMeasurable("there are no timestamps, so nothing says which signals came before a stream")
    pairs = interest_pairs(rows, strong, weak)
    if pairs.is_empty():
        return NotMeasurable("no weak signal comes before a stream")
    met = pairs.with_columns(pl.col(weak).clip(upper_bound=1))
    return [
        WeakSignal(
            signal,
            _figure(count_odds(pairs, signal), pairs, signal),
            _figure(count_odds(met, signal), met, signal),
            pairs.filter(pl.col(signal) > 0).height,
            pairs.height,
            int(pairs[STREAMED].sum()),
        )
        for signal in weak
    ]


def _figure(odds: SignalOdds | None, pairs: pl.DataFrame, signal: str) -> Figure | NotMeasurable:
    if odds is not None:
        return Figure(odds.ratio, odds.low, odds.high)
    if not pairs[signal].sum():
        return NotMeasurable("it never comes before a stream")
    if pairs[STREAMED].n_unique() < 2:
        return NotMeasurable("all pairs were streamed" if pairs[STREAMED].any() else "no pair was streamed")
    alike = pairs[signal].n_unique() < 2
    return NotMeasurable("all pairs have it equally often" if alike else "it decides the outcome of every pair")


def co_occurrence(rows: pl.DataFrame, signals: Sequence[str], seed: int) -> CoOccurrence:
    """Which ``signals`` a user-title pair has together, over ``rows`` of one item type."""
    has = [(pl.col(schemas.SIGNAL) == name).any().alias(name) for name in signals]
    pairs = rows.group_by(schemas.USER, schemas.ITEM).agg(*has).sort(schemas.USER, schemas.ITEM)
    flags = pairs.select(signals).to_numpy().astype(np.float64)
    _, user = np.unique(pairs[schemas.USER].to_numpy(), return_inverse=True)
    size = len(signals)
    # Per user: how many of its pairs have both i and j, and how many pairs it has.
    both = [np.bincount(user, weights=flags[:, i] * flags[:, j]) for i in range(size) for j in range(size)]
    tables = np.stack([*both, np.bincount(user)], axis=1)
    exact = _shares(tables.sum(axis=0, keepdims=True), size)[0]
    draws = _shares(_resampled(tables, seed), size)
    figures = [
        None if np.isnan(value) else Figure.percentile(float(value), draws[~np.isnan(draws[:, i]), i])
        for i, value in enumerate(exact)
    ]
    share = [figure for figure in figures[size * size :] if figure is not None]
    also = [figures[i * size : (i + 1) * size] for i in range(size)]
    return CoOccurrence(list(signals), also, share, pairs.height)


def _resampled(tables: Floats, seed: int) -> Floats:
    """Totals of ``tables`` [num_users, k] over draws of as many users with replacement: [resamples, k]."""
    rng, users = np.random.default_rng(seed), len(tables)
    found = np.empty((_RESAMPLES, tables.shape[1]))
    for i in range(_RESAMPLES):
        times = np.bincount(rng.integers(users, size=users), minlength=users)
        found[i] = times.astype(np.float64) @ tables
    return found


def _shares(totals: Floats, size: int) -> Floats:
    """``also`` row by row, then ``share``, of each row of totals [n, size² + 1]: [n, size² + size]."""
    both = totals[:, :-1].reshape(-1, size, size)
    has = np.diagonal(both, axis1=1, axis2=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        also = both / has[:, :, None]
    return np.hstack([also.reshape(len(totals), -1), has / totals[:, -1:]])
