"""How well towers rank the whole catalogue for users they were not trained on, warm and cold, after each epoch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from graphkit.histories import ONBOARDING, Histories, History
from graphkit.user_features import UserFeatures, UserInputs
from graphkit.user_vectors import UserVectors, known_vectors, pair_folds
from towers.labels import Labels

WARM: Final = "warm"
COLD: Final = "cold"
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
    warm. Without, each user is asked twice: warm, with one fold of its items held out, beside the user vectors that
    do not know that fold, and cold, with its whole history of the type taken away and without user vectors, each of
    which knows some of it. Users of whom nothing at all is known are left out.
    """
    users = np.unique(labels.users)
    users = np.sort(rng.permutation(users)[:max_users])
    own = _rows(labels.known.num_users, labels)
    everything = own.select(users)
    if timed:
        yield from _cells(features, labels, None, users, everything, _known(features, users, np.zeros_like(users)))
        return
    folds, held_out = _hold_out(everything, users, labels.item_type, rng)
    some = np.flatnonzero(np.diff(held_out.indptr))
    known = _known(features, users[some], folds[some])
    yield from _cells(features, labels, WARM, users[some], held_out.select(some), known)
    nothing = tuple(known_vectors(one.name, np.zeros((len(users), one.dim), np.float32)) for one in features.vectors)
    yield from _cells(features, labels, COLD, users, everything, nothing)


def _known(features: UserFeatures, users: Ints, folds: Ints) -> tuple[UserVectors, ...]:
    """The vectors of ``users``, renumbered 0..n-1, that know nothing of the pairs in the user's fold."""
    return tuple(known_vectors(one.name, one.of_folds(users, folds)) for one in features.vectors)


def _cells(
    features: UserFeatures,
    labels: Labels,
    group: str | None,
    users: Ints,
    relevant: History,
    vectors: tuple[UserVectors, ...],
) -> Iterator[Cell]:
    item_type = labels.item_type
    histories: Histories = {
        pool: _without(history.select(users), relevant) if pool.item_type == item_type else history.select(users)
        for pool, history in features.histories.items()
    }
    lengths = {pool: np.diff(history.indptr) for pool, history in histories.items()}
    met = [n for pool, n in lengths.items() if pool.item_type == item_type and pool.group != ONBOARDING]
    has_type = sum(met, np.zeros(len(users), dtype=np.int64)) > 0
    num_known = sum(lengths.values()) + sum(one.serve.any(axis=1).astype(np.int64) for one in vectors)
    left = UserFeatures(features.spec, histories, features.embeddings, features.categorical[users], vectors)
    masked = _without(labels.known.select(users), relevant)
    for name, members in ((WARM, has_type), (COLD, (num_known > 0) & ~has_type)):
        rows = np.flatnonzero(members)
        if group in (None, name) and len(rows):
            yield Cell(item_type, name, left.inputs(rows), relevant.select(rows), masked.select(rows))


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


def _without(history: History, taken: History) -> History:
    """``history`` less the pairs of ``taken``, row by row."""
    every = np.arange(history.num_users)
    return history.where(~np.isin(_keys(*history.pairs(every)), _keys(*taken.pairs(every))))


def _hold_out(history: History, users: Ints, item_type: str, rng: np.random.Generator) -> tuple[Ints, History]:
    """Of each row, which is the history of ``users[row]``, the fold of an item drawn at random, and its items in that
    fold; none of a row that would be left with nothing."""
    row, item = history.pairs(np.arange(history.num_users))
    length = np.diff(history.indptr)
    fold = pair_folds(item_type, users[row], item)
    drawn = history.indptr[:-1] + (rng.random(history.num_users) * length).astype(np.int64)
    chosen = np.zeros(history.num_users, dtype=np.int64)
    chosen[length > 0] = fold[drawn[length > 0]]
    held = fold == chosen[row]
    left = np.bincount(row[~held], minlength=history.num_users)
    held &= left[row] > 0
    return chosen, history.where(held)


def _keys(row: Any, item: Any) -> Ints:
    keys: Ints = row.astype(np.int64) << 32 | item.astype(np.int64)
    return keys
