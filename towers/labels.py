"""Training examples of the towers: which user is to be drawn towards which item, and what is no negative."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.datasets.store import Dataset
from graphkit.errors import InputError
from graphkit.user_features import History

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Labels:
    """The examples of one target type, distinct (user, item) pairs sorted by user, then item.

    ``known`` holds each user's strong train items of the type, inside and outside the label period: none of
    them is ever a negative for that user. ``times`` says when a label was first met, None without timestamps.
    """

    item_type: str
    users: Ints  # [num_examples]
    items: Ints  # [num_examples]
    known: History
    times: Ints | None = None  # [num_examples], milliseconds since 1970, UTC

    def of_users(self, chosen: npt.NDArray[np.bool_]) -> Labels:
        """The examples of the users that are True in ``chosen`` [num_users]."""
        keep = chosen[self.users]
        times = None if self.times is None else self.times[keep]
        return Labels(self.item_type, self.users[keep], self.items[keep], self.known, times)

    def __len__(self) -> int:
        return len(self.users)


def read_labels(dataset: Dataset, item_type: str) -> Labels:
    """The strong train pairs of ``item_type``: with timestamps those first met in the label period, else all.

    Raises InputError where there are none.
    """
    meta = dataset.meta
    rows = dataset.interactions(schemas.TRAIN, meta.strong).filter(pl.col(schemas.ITEM_TYPE) == item_type)
    time = pl.col(schemas.TIMESTAMP)
    if meta.cutoff is not None:
        rows = rows.filter(time < meta.cutoff)
    users, items, times = _pairs(rows)
    known = History(np.searchsorted(users, np.arange(meta.num_users + 1)), items.astype(np.int32))
    if meta.label_start is not None:
        # What is evaluated is items new to the user, so that is what is learned: re-listens are no labels.
        earlier = rows.filter(time < meta.label_start).select(schemas.USER, schemas.ITEM).unique()
        new = rows.filter(time >= meta.label_start).join(earlier, on=[schemas.USER, schemas.ITEM], how="anti")
        users, items, times = _pairs(new)
    if len(users) == 0:
        raise _no_labels(dataset, item_type)
    return Labels(item_type, users, items, known, times)


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
