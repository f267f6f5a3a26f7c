"""Training examples of the towers: which user is to be drawn towards which item, and what is no negative."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.datasets.store import Dataset, DatasetMeta
from graphkit.datasets.user_blocks import of_users, user_blocks
from graphkit.errors import InputError
from graphkit.histories import History
from towers.spool import Spool

Ints = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_KEY: Final = (schemas.USER, schemas.ITEM)
#: How the columns of examples are kept.
_DTYPES: Final = {"users": np.int32, "items": np.int32, "times": np.int64, "weak": np.bool_}
#: Examples that are looked at together.
_BLOCK: Final = 1_000_000


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
        return self._where(_flags(self.users, chosen))

    def between(self, low: int, high: int) -> Labels:
        """The examples of the users from ``low`` up to ``high``."""
        part = slice(*np.searchsorted(self.users, [low, high]))
        times = None if self.times is None else self.times[part]
        weak = None if self.weak is None else self.weak[part]
        return replace(self, users=self.users[part], items=self.items[part], times=times, weak=weak)

    def strong(self) -> Labels:
        """The examples that strong signals made."""
        return self if self.weak is None else replace(self._where(~self.weak), weak=None, spared=None)

    def _where(self, keep: Flags) -> Labels:
        times, weak = (None if column is None else _kept(column, keep) for column in (self.times, self.weak))
        return replace(self, users=_kept(self.users, keep), items=_kept(self.items, keep), times=times, weak=weak)

    def __len__(self) -> int:
        return len(self.users)


def read_labels(dataset: Dataset, item_type: str, weak: bool = False) -> Labels:
    """The strong train pairs of ``item_type``: with timestamps those first met in the label period, else all.

    With ``weak`` also the pairs that weak signals alone made, likewise new. Rows are read some users at a time and
    what becomes of them is kept in files (``Spool``), so that memory does not grow with the log. Raises InputError
    where there is no strong pair.
    """
    weak = weak and bool(dataset.meta.weak)
    columns = {name: Spool(dtype) for name, dtype in _DTYPES.items()}
    known, spared = _HistorySpool(), _HistorySpool()
    timed = True
    for low, high in user_blocks(dataset):
        block = _read_block(dataset, item_type, weak, low, high)
        timed = timed and block.times is not None
        named = {"users": block.users, "items": block.items, "times": block.times, "weak": block.weak}
        for name, values in named.items():
            if values is not None:
                columns[name].append(values)
        known.append(block.known)
        if block.spared is not None:
            spared.append(block.spared)
    users, items, times, flags = (columns[name].array() for name in _DTYPES)
    if not len(users) or (weak and flags.all()):
        raise _no_labels(dataset, item_type)
    labels = Labels(item_type, users, items, known.history(), times if timed else None)
    return replace(labels, weak=flags, spared=spared.history()) if weak else labels


def _read_block(dataset: Dataset, item_type: str, weak: bool, low: int, high: int) -> Labels:
    """The examples of the users from ``low`` up to ``high``; ``known`` and ``spared`` are theirs alone."""
    meta = dataset.meta
    rows = _train_rows(dataset, item_type, meta.strong, low, high)
    users, items, times = _pairs(rows)
    known = _history(users, items, low, high)
    if meta.label_start is not None:
        # What is evaluated is items new to the user, so that is what is learned: re-listens are no labels.
        users, items, times = _pairs(_new(rows, meta.label_start))
    labels = Labels(item_type, users, items, known, times)
    if not weak:
        return labels
    return _with_weak(labels, rows, _train_rows(dataset, item_type, meta.weak, low, high), meta, low, high)


def _with_weak(
    labels: Labels, strong: pl.DataFrame, rows: pl.DataFrame, meta: DatasetMeta, low: int, high: int
) -> Labels:
    """``labels`` and the pairs that the weak ``rows`` made and no ``strong`` row did."""
    spared = _history(*_pairs(rows)[:2], low, high)
    fresh = rows if meta.label_start is None else _new(rows, meta.label_start)
    users, items, times = _pairs(fresh.join(strong, on=_KEY, how="anti"))
    weak = np.repeat([False, True], [len(labels), len(users)])
    users, items = np.concatenate([labels.users, users]), np.concatenate([labels.items, items])
    order = np.lexsort((items, users))
    moments = None if labels.times is None or times is None else np.concatenate([labels.times, times])[order]
    return Labels(labels.item_type, users[order], items[order], labels.known, moments, weak[order], spared)


def _train_rows(dataset: Dataset, item_type: str, signals: tuple[str, ...], low: int, high: int) -> pl.DataFrame:
    cutoff = dataset.meta.cutoff
    rows = dataset.interactions(schemas.TRAIN, signals).filter(of_users(low, high))
    rows = rows.filter(pl.col(schemas.ITEM_TYPE) == item_type)
    if cutoff is not None:
        rows = rows.filter(pl.col(schemas.TIMESTAMP) < cutoff)
    return rows.select(*_KEY, schemas.TIMESTAMP).collect()


def _new(rows: pl.DataFrame, start: datetime) -> pl.DataFrame:
    """The ``rows`` from ``start`` on, of pairs that are in no row before."""
    time = pl.col(schemas.TIMESTAMP)
    return rows.filter(time >= start).join(rows.filter(time < start), on=_KEY, how="anti")


def _history(users: Ints, items: Ints, low: int, high: int) -> History:
    """Pairs that are sorted by user, as a history of the users from ``low`` up to ``high``."""
    return History(np.searchsorted(users, np.arange(low, high + 1)), items.astype(np.int32))


class _HistorySpool:
    """The histories of blocks of users, one behind the other."""

    def __init__(self) -> None:
        self._items = Spool(np.int32)
        self._lengths: list[Ints] = []

    def append(self, history: History) -> None:
        self._items.append(history.items)
        self._lengths.append(np.diff(history.indptr))

    def history(self) -> History:
        return History(np.cumsum(np.concatenate([np.zeros(1, np.int64), *self._lengths])), self._items.array())


def split_users(labels: dict[str, Labels], num_users: int, share: float, seed: int) -> npt.NDArray[np.bool_]:
    """A seeded ``share`` of the users with labels, at least one if ``share`` > 0: bool [num_users].

    Of each type at least one user with labels stays in training. Raises InputError where fewer than two
    users have labels.
    """
    labelled = np.zeros(num_users, dtype=bool)
    for label in labels.values():
        for part in _parts(label.users):
            labelled[part] = True
    users = np.flatnonzero(labelled)
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
        if _flags(label.users, chosen).all():
            chosen[label.users[0]] = False
    return chosen


def item_probability(labels: Labels, num_items: int) -> npt.NDArray[np.float32]:
    """Each item's share of the examples, float32 [num_items]; an item without any counts as seen once."""
    count = np.zeros(num_items, dtype=np.int64)
    for part in _parts(labels.items):
        count += np.bincount(part, minlength=num_items)
    return (np.maximum(count, 1) / max(len(labels), 1)).astype(np.float32)


def _pairs(rows: pl.DataFrame) -> tuple[Ints, Ints, Ints | None]:
    """Distinct pairs, and the moment each was first met (None where a row has no timestamp)."""
    pairs = rows.group_by(_KEY).agg(pl.col(schemas.TIMESTAMP).min()).sort(_KEY)
    users, items = (pairs[name].to_numpy().astype(np.int64) for name in _KEY)
    time = pairs[schemas.TIMESTAMP]
    return users, items, None if time.null_count() else time.to_physical().to_numpy().astype(np.int64)


def _parts(column: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    return (column[start : start + _BLOCK] for start in range(0, len(column), _BLOCK))


def _flags(users: Ints, chosen: Flags) -> Flags:
    """``chosen[users]``, without a copy of ``users`` as wide as an index."""
    return np.concatenate([np.zeros(0, dtype=bool), *(chosen[part] for part in _parts(users))])


def _kept(column: npt.NDArray[Any], keep: Flags) -> Any:
    """``column[keep]``, in a file as ``column`` is."""
    spool = Spool(column.dtype)
    for part, flags in zip(_parts(column), _parts(keep), strict=True):
        spool.append(part[flags])
    return spool.array()


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
