"""Full-catalogue ranking: every item of the target type is scored, the user's own train items are left out.

Ties are broken by one seeded random order of the items, never by their row: source files are often sorted
by popularity, and a model that scores nothing must not profit from that.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from graphkit.errors import GraphkitError
from graphkit.evaluation.groups import GROUPS, TargetTask
from graphkit.evaluation.metrics import COVERAGE, LIST_LENGTH, user_metrics
from graphkit.evaluation.recommender import Recommender

#: Scores held at once; the sort keys of a block take twice their 4 bytes each.
BLOCK_SCORES: Final = 4_000_000
_LAST: Final = np.iinfo(np.int64).min


@dataclass(frozen=True)
class Ranked:
    """What one model's lists for one target type are worth."""

    values: npt.NDArray[np.float64]  # [num_users, len(USER_METRICS)]
    shown: dict[tuple[str, str], npt.NDArray[np.bool_]]  # (group, coverage metric) -> [num_items]


def tie_order(num_items: int, seed: int) -> npt.NDArray[np.int64]:
    """A seeded random order: where scores are equal, the item with the larger entry comes first."""
    return np.random.default_rng(seed).permutation(num_items)


def rank_users(model: Recommender, task: TargetTask, seed: int) -> Ranked:
    """Rank the catalogue for every user of ``task``, in blocks of bounded memory.

    Raises GraphkitError where the model gives a score that is not a finite number.
    """
    ties = tie_order(task.num_items, seed)
    values = []
    shown = {(group, name): np.zeros(task.num_items, dtype=bool) for group in GROUPS for name in COVERAGE}
    for users, warm in _blocks(task):
        top = _top_of_block(model, task, users, ties)
        values.append(user_metrics(_hits(top, task, users), np.diff(task.positives.indptr)[users]))
        for (group, name), seen in shown.items():
            lists = top[_members(group, warm), : COVERAGE[name]]
            seen[lists[lists >= 0]] = True
    return Ranked(np.concatenate(values) if values else np.empty((0, 4)), shown)


def top_items(
    scores: npt.NDArray[np.float32],
    masked: tuple[npt.NDArray[np.int64], npt.NDArray[np.int32]],
    ties: npt.NDArray[np.int64],
    length: int,
) -> npt.NDArray[np.int64]:
    """The ``length`` best items of each row, best first: int64 [n, length]; -1 where none is left.

    ``scores`` float32 [n, num_items] are finite; ``masked`` are (rows, items) never to be listed; ``ties``
    is ``tie_order``.
    """
    keys = _sort_keys(scores, ties)
    keys[masked] = _LAST
    num_items = keys.shape[1]
    length_found = min(length, num_items)
    if length_found < num_items:
        keys = np.partition(keys, num_items - length_found, axis=1)[:, num_items - length_found :]
    keys = np.sort(keys, axis=1)[:, ::-1]
    item_of = np.empty(num_items, dtype=np.int64)
    item_of[ties] = np.arange(num_items)
    items = np.where(keys == _LAST, -1, item_of[keys & 0xFFFFFFFF])
    return np.pad(items, ((0, 0), (0, length - length_found)), constant_values=-1)


def _sort_keys(scores: npt.NDArray[np.float32], ties: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Integers that sort as (score, tie order): the float's bits made monotone above, the tie order below."""
    bits = (scores.astype(np.float32, copy=False) + np.float32(0)).view(np.int32)  # + 0 turns -0.0 into 0.0
    monotone = np.where(bits < 0, bits ^ np.int32(0x7FFFFFFF), bits)
    return (monotone.astype(np.int64) << 32) | ties


def _top_of_block(
    model: Recommender, task: TargetTask, users: npt.NDArray[np.int64], ties: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    scores = model.scores(users, task.item_type)
    if not np.isfinite(scores).all():
        row, item = np.argwhere(~np.isfinite(scores))[0]
        raise GraphkitError(
            f"{model.name} gives a score that is not a number",
            where=f"user {users[row]}, {task.item_type} {item}",
            found=str(scores[row, item]),
            fix="train the model again, with a smaller learning rate",
        )
    return top_items(scores, task.masked.pairs(users), ties, LIST_LENGTH)


def _hits(top: npt.NDArray[np.int64], task: TargetTask, users: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    relevant = np.zeros((len(users), task.num_items + 1), dtype=bool)  # the last column catches -1
    relevant[task.positives.pairs(users)] = True
    return np.take_along_axis(relevant, top, axis=1)


def _members(group: str, warm: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    return {"warm": warm, "cold": ~warm, "all": np.ones_like(warm)}[group]


def _blocks(task: TargetTask) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]]:
    rows = max(1, BLOCK_SCORES // max(1, task.num_items))
    for start in range(0, len(task.users), rows):
        yield task.users[start : start + rows], task.warm[start : start + rows]
