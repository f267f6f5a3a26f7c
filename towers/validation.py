"""How well towers rank the whole catalogue for users they were not trained on, warm and cold, after each epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from graphkit.user_features import Histories, History, UserFeatures, UserInputs
from towers.labels import Labels

WARM: Final = "warm"
COLD: Final = "cold"
#: Without timestamps: the share of a warm validation user's items that it must find again.
_HELD_OUT: Final = 0.2
_LENGTH: Final = 10
_DISCOUNT: Final = 1 / np.log2(np.arange(2, _LENGTH + 2))
_BLOCK: Final = 256

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Cell:
    """The validation users of one target type that are warm, or cold, for it; n of them.

    ``relevant`` are the items to be found and ``masked`` those the user had before, which are not ranked.
    """

    item_type: str
    group: str
    inputs: UserInputs
    relevant: History  # [n]
    masked: History  # [n]

    @property
    def name(self) -> str:
        return f"{self.item_type}/{self.group}"

    @property
    def num_users(self) -> int:
        return self.relevant.num_users


def validation_cells(
    features: UserFeatures, labels: Labels, timed: bool, max_users: int, rng: np.random.Generator
) -> Iterator[Cell]:
    """The warm and the cold cell of one target type; ``labels`` are those of validation users only.

    With timestamps (``timed``) all labels of a user are relevant, and who has another history of the type is
    warm. Without, each user is asked twice: warm, with a fifth of its items held out, and cold, with its
    whole history of the type taken away. Users of whom nothing at all is known are left out.
    """
    users = np.unique(labels.users)
    users = np.sort(rng.permutation(users)[:max_users])
    own = _rows(labels.known.num_users, labels)
    cells: list[tuple[str | None, Ints, History]]
    if timed:
        cells = [(None, users, _select(own, users))]
    else:
        held_out = _hold_out(_select(own, users), rng)
        some = np.diff(held_out.indptr) > 0
        cells = [(WARM, users[some], _select(held_out, np.flatnonzero(some))), (COLD, users, _select(own, users))]
    for group, chosen, relevant in cells:
        yield from _cells(features, labels, group, chosen, relevant)


def _cells(
    features: UserFeatures, labels: Labels, group: str | None, users: Ints, relevant: History
) -> Iterator[Cell]:
    item_type = labels.item_type
    histories: Histories = {
        pool: _without(_select(history, users), relevant) if pool.item_type == item_type else _select(history, users)
        for pool, history in features.histories.items()
    }
    lengths = {pool: np.diff(history.indptr) for pool, history in histories.items()}
    has_type = sum(length for pool, length in lengths.items() if pool.item_type == item_type) > 0
    has_any = sum(lengths.values()) > 0
    left = UserFeatures(features.spec, histories, features.embeddings, features.categorical[users])
    masked = _without(_select(labels.known, users), relevant)
    for name, members in ((WARM, has_type), (COLD, has_any & ~has_type)):
        rows = np.flatnonzero(members)
        if group in (None, name) and len(rows):
            yield Cell(item_type, name, left.inputs(rows), _select(relevant, rows), _select(masked, rows))


def ndcg(user_vectors: Floats, item_vectors: Floats, cell: Cell) -> npt.NDArray[np.float64]:
    """NDCG@10 of each user of the cell over the whole catalogue: float64 [n]."""
    found = np.zeros(cell.num_users)
    for start in range(0, cell.num_users, _BLOCK):
        rows = np.arange(start, min(start + _BLOCK, cell.num_users))
        scores = user_vectors[rows] @ item_vectors.T  # [block, num_items]
        scores[cell.masked.pairs(rows)] = -np.inf
        top = top_columns(scores, _LENGTH)
        relevant = np.zeros(scores.shape, dtype=bool)
        relevant[cell.relevant.pairs(rows)] = True
        hits = np.take_along_axis(relevant, top, axis=1)
        found[rows] = hits @ _DISCOUNT[: top.shape[1]]
    ideal = np.cumsum(_DISCOUNT)[np.minimum(np.diff(cell.relevant.indptr), _LENGTH) - 1]
    shares: npt.NDArray[np.float64] = found / ideal
    return shares


def mean_over_cells(figures: dict[str, float], users: dict[str, int]) -> float:
    """The mean of the cells' figures, each weighted by the square root of its users: small target types
    count for more than their users, yet not so much that their noise decides."""
    weights = np.sqrt([users[name] for name in figures])
    return float(np.average(list(figures.values()), weights=weights))


def top_columns(scores: Floats, length: int) -> Ints:
    """The columns of each row's ``length`` highest scores, best first."""
    length = min(length, scores.shape[1])
    best = np.argpartition(-scores, length - 1, axis=1)[:, :length]
    order = np.argsort(-np.take_along_axis(scores, best, axis=1), axis=1, kind="stable")
    top: Ints = np.take_along_axis(best, order, axis=1)
    return top


def _rows(num_users: int, labels: Labels) -> History:
    """The labels of every user, as a history."""
    return History(np.searchsorted(labels.users, np.arange(num_users + 1)), labels.items.astype(np.int32))


def _select(history: History, users: Ints) -> History:
    """The history of ``users``, renumbered 0..n-1."""
    return _from_pairs(*history.pairs(users), len(users))


def _without(history: History, taken: History) -> History:
    """``history`` less the pairs of ``taken``, row by row."""
    every = np.arange(history.num_users)
    row, item = history.pairs(every)
    gone = np.isin(_keys(row, item), _keys(*taken.pairs(every)))
    return _from_pairs(row[~gone], item[~gone], history.num_users)


def _hold_out(history: History, rng: np.random.Generator) -> History:
    """A seeded fifth of each row's items, at least one, and none from a row of one."""
    row, item = history.pairs(np.arange(history.num_users))
    length = np.diff(history.indptr)
    order = np.lexsort((rng.random(len(row)), row))
    rank = np.empty(len(row), dtype=np.int64)
    rank[order] = np.arange(len(row)) - np.repeat(history.indptr[:-1], length)
    count = np.where(length > 1, np.maximum(1, np.round(_HELD_OUT * length)), 0)
    held = rank < count[row]
    return _from_pairs(row[held], item[held], history.num_users)


def _from_pairs(row: Ints, item: npt.NDArray[np.int32], num_rows: int) -> History:
    indptr = np.concatenate([[0], np.cumsum(np.bincount(row, minlength=num_rows))])
    return History(indptr.astype(np.int64), item)


def _keys(row: Any, item: Any) -> Ints:
    keys: Ints = row.astype(np.int64) << 32 | item.astype(np.int64)
    return keys
