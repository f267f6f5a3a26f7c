"""Training examples of the towers: which user is to be drawn towards which item, and what is no negative."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.datasets.store import Dataset
from graphkit.errors import InputError
from graphkit.user_features import History

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Labels:
    """The examples of one target type, distinct (user, item) pairs sorted by user, then item.

    ``known`` holds each user's strong train items of the type, inside and outside the label period: none of
    them is ever a negative for that user. ``times`` says when a label was first met, None without timestamps.
    ``weak`` are the examples that weak signals alone made, and ``spared`` what each user met by weak signals, which
    then is no negative either; None where weak signals make no examples.
    """

    item_type: str
    users: Ints  # [num_examples]
    items: Ints  # [num_examples]
    known: History
    times: Ints | None = None  # [num_examples], milliseconds since 1970, UTC
    weak: Flags | None = None  # [num_examples]
    spared: History | None = None

    @property
    def liked(self) -> tuple[History, ...]:
        """The items that are no user's negatives."""
        return (self.known,) if self.spared is None else (self.known, self.spared)

    def of_users(self, chosen: Flags) -> Labels:
        """The examples of the users that are True in ``chosen`` [num_users]."""
        return self._where(chosen[self.users])

    def strong(self) -> Labels:
        """The examples that strong signals made."""
        return self if self.weak is None else replace(self._where(~self.weak), weak=None, spared=None)

    def _where(self, keep: Flags) -> Labels:
        times, weak = (None if column is None else column[keep] for column in (self.times, self.weak))
        return replace(self, users=self.users[keep], items=self.items[keep], times=times, weak=weak)

    def __len__(self) -> int:
        return len(self.users)


def read_labels(dataset: Dataset, item_type: str, weak: bool = False) -> Labels:
    """The strong train pairs of ``item_type``: with timestamps those first met in the label period, else all.

    With ``weak`` also the pairs that weak signals alone made, likewise new. Raises InputError where there is no
    strong pair.
    """
    meta = dataset.meta
    rows = _train_rows(dataset, item_type, meta.strong)
    users, items, times = _pairs(rows)
    known = _history(users, items, meta.num_users)
    if meta.label_start is not None:
        # What is evaluated is items new to the user, so that is what is learned: re-listens are no labels.
        users, items, times = _pairs(_new(rows, meta.label_start))
    if len(users) == 0:
        raise _no_labels(dataset, item_type)
    labels = Labels(item_type, users, items, known, times)
    return _with_weak(labels, dataset, rows) if weak and meta.weak else labels


def _with_weak(labels: Labels, dataset: Dataset, strong: pl.LazyFrame) -> Labels:
    """``labels`` and the pairs that weak signals made and no row of ``strong`` did."""
    meta = dataset.meta
    rows = _train_rows(dataset, labels.item_type, meta.weak)
    users, items, _ = _pairs(rows)
    spared = _history(users, items, meta.num_users)
    fresh = rows if meta.label_start is None else _new(rows, meta.label_start)
    users, items, times = _pairs(fresh.join(strong, on=[schemas.USER, schemas.ITEM], how="anti"))
    weak = np.repeat([False, True], [len(labels), len(users)])
    users, items = np.concatenate([labels.users, users]), np.concatenate([labels.items, items])
    order = np.lexsort((items, users))
    moments = None if labels.times is None or times is None else np.concatenate([labels.times, times])[order]
    return Labels(labels.item_type, users[order], items[order], labels.known, moments, weak[order], spared)


def _train_rows(dataset: Dataset, item_type: str, signals: tuple[str, ...]) -> pl.LazyFrame:
    rows = dataset.interactions(schemas.TRAIN, signals).filter(pl.col(schemas.ITEM_TYPE) == item_type)
    cutoff = dataset.meta.cutoff
    return rows if cutoff is None else rows.filter(pl.col(schemas.TIMESTAMP) < cutoff)


def _new(rows: pl.LazyFrame, start: datetime) -> pl.LazyFrame:
    """The ``rows`` from ``start`` on, of pairs that are in no row before."""
    time, key = pl.col(schemas.TIMESTAMP), (schemas.USER, schemas.ITEM)
    earlier = rows.filter(time < start).select(key).unique()
    return rows.filter(time >= start).join(earlier, on=key, how="anti")


def _history(users: Ints, items: Ints, num_users: int) -> History:
    """Pairs that are sorted by user, as a history."""
    return History(np.searchsorted(users, np.arange(num_users + 1)), items.astype(np.int32))


def split_users(labels: dict[str, Labels], num_users: int, share: float, seed: int) -> npt.NDArray[np.bool_]:
    """A seeded ``share`` of the users with labels, at least one if ``share`` > 0: bool [num_users].

    Of each type at least one user with labels stays in training. Raises InputError where fewer than two
    users have labels.
    """
    users = np.unique(np.concatenate([label.users for label in labels.values()]))
    if len(users) < 2:
        raise InputError(
            "the towers cannot be trained on one user",
            expected="labels of at least two users: the other users' items are the negatives",
            found=f"{len(users)} user with labels",
            fix="give more interactions, or a longer label period (split.label_days)",
        )
    chosen = np.zeros(num_users, dtype=bool)
    if share > 0:
        count = min(max(1, round(share * len(users))), len(users) - 1)
        chosen[np.random.default_rng([seed, 0]).choice(users, count, replace=False)] = True
    for label in labels.values():
        if chosen[label.users].all():
            chosen[label.users[0]] = False
    return chosen


def item_probability(labels: Labels, num_items: int) -> npt.NDArray[np.float32]:
    """Each item's share of the examples, float32 [num_items]; an item without any counts as seen once."""
    count = np.maximum(np.bincount(labels.items, minlength=num_items), 1)
    return (count / max(len(labels), 1)).astype(np.float32)


def _pairs(rows: pl.LazyFrame) -> tuple[Ints, Ints, Ints | None]:
    """Distinct pairs, and the moment each was first met (None where a row has no timestamp)."""
    key = (schemas.USER, schemas.ITEM)
    pairs = rows.group_by(key).agg(pl.col(schemas.TIMESTAMP).min()).sort(key).collect()
    users, items = (pairs[name].to_numpy().astype(np.int64) for name in key)
    time = pairs[schemas.TIMESTAMP]
    return users, items, None if time.null_count() else time.to_physical().to_numpy().astype(np.int64)


def _no_labels(dataset: Dataset, item_type: str) -> InputError:
    meta = dataset.meta
    if meta.label_start is None or meta.cutoff is None:
        window, fix = "the train rows", "take it out of dataset.targets, or check dataset.strong"
    else:
        window = f"the label period {meta.label_start.isoformat()} to {meta.cutoff.isoformat()}"
        fix = "take it out of dataset.targets, or lengthen the period with split.label_days"
    return InputError(
        f"the target type {item_type!r} has no interactions to train on",
        where=window,
        expected=f"at least one train interaction with a signal of {', '.join(meta.strong)}",
        found="none",
        fix=fix,
    )
