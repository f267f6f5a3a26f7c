"""Full-catalogue ranking: every item of the target type is scored, the user's own train items are left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

import numpy as np
import numpy.typing as npt

from graphkit.errors import GraphkitError
from graphkit.evaluation.groups import GROUPS, TargetTask
from graphkit.evaluation.metrics import COVERAGE, LIST_LENGTH, NOVELTY, gini, novelty, user_metrics
from graphkit.evaluation.recommender import Recommender
from graphkit.evaluation.segments import SEGMENTS, Segments
from graphkit.evaluation.top_items import tie_order, top_items
from graphkit.parallel import map_in_order

#: Scores held at once by each thread.
BLOCK_SCORES: Final = 4_000_000

Longs = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Ranked:
    """What one model's lists for one target type are worth.

    ``values`` [n, len(SEGMENTS), metrics] are float32, the columns the user metrics and then novelty, NaN where a
    user has no test item in the segment. ``exposure`` counts by (group, list length) how often each item is listed:
    int64 [num_items].
    """

    values: npt.NDArray[np.float32]
    exposure: dict[tuple[str, int], Longs]

    def num_shown(self, group: str, length: int, members: Flags) -> int:
        """How many of the items ``members`` (bool [num_items]) are in at least one list of a group."""
        return int((self.exposure[group, length][members] > 0).sum())

    def gini(self, group: str) -> float:
        """How unevenly a group's lists of 10 show the catalogue."""
        return gini(self.exposure[group, 10])


@dataclass(frozen=True)
class Ranker:
    """Ranks the users of ``task``; ``metrics`` are the per-user ones, ``num_users`` those of the dataset."""

    task: TargetTask
    segments: Segments
    metrics: tuple[str, ...]
    num_users: int
    seed: int
    threads: int = 1

    def empty(self) -> Ranked:
        """Nothing ranked yet: of all users, to be filled part by part."""
        values = np.full((len(self.task.users), len(SEGMENTS), len(self.metrics) + 1), np.nan, np.float32)
        exposure = {
            (group, length): np.zeros(self.task.num_items, np.int64)
            for group in GROUPS
            for length in COVERAGE.values()
        }
        return Ranked(values, exposure)

    def rank(self, model: Recommender, rows: Longs | None = None, into: Ranked | None = None) -> Ranked:
        """Rank the catalogue for the users at ``rows`` of ``task.users`` (None: all), in blocks of bounded memory.

        Raises GraphkitError where the model gives a score that is not a finite number.
        """
        found = self.empty() if into is None else into
        rows = np.arange(len(self.task.users)) if rows is None else rows
        ties = tie_order(self.task.num_items, self.seed)
        for several in batched(self._blocks(rows), 4 * self.threads):  # so that no more lists than these wait
            lists = map_in_order(lambda block: self._top(model, self.task.users[block], ties), several, self.threads)
            for block, top in zip(several, lists, strict=True):
                found.values[block] = self._values(top, self.task.users[block])
                self._expose(top, self.task.warm[block], found.exposure)
        return found

    def lists(self, model: Recommender, rows: Longs, length: int) -> Longs:
        """The first ``length`` items for the users at ``rows``: int64 [n, length]."""
        ties = tie_order(self.task.num_items, self.seed)
        return self._top(model, self.task.users[rows], ties)[:, :length]

    def _blocks(self, rows: Longs) -> Iterator[Longs]:
        height = max(1, BLOCK_SCORES // max(1, self.task.num_items))
        for start in range(0, len(rows), height):
            yield rows[start : start + height]

    def _top(self, model: Recommender, users: Longs, ties: Longs) -> Longs:
        scores = model.scores(users, self.task.item_type)
        if not np.isfinite(scores).all():
            row, item = np.argwhere(~np.isfinite(scores))[0]
            raise GraphkitError(
                f"{model.name} gives a score that is not a number",
                where=f"user {users[row]}, {self.task.item_type} {item}",
                found=str(scores[row, item]),
                fix="train the model again, with a smaller learning rate",
            )
        return top_items(scores, self.task.masked.pairs(users), ties, LIST_LENGTH)

    def _values(self, top: Longs, users: Longs) -> npt.NDArray[np.float32]:
        """[n, len(SEGMENTS), metrics] of a block."""
        row, item = self.task.positives.pairs(users)
        relevant = np.zeros((len(users), self.task.num_items + 1), dtype=bool)  # the last column catches -1
        relevant[row, item] = True
        hits = np.take_along_axis(relevant, top, axis=1)
        unexpected = novelty(top, self.segments.num_listeners, self.num_users)
        out = np.full((len(users), len(SEGMENTS), len(self.metrics) + 1), np.nan, np.float32)
        for number, members in enumerate(self.segments.members):
            count = np.bincount(row[members[item]], minlength=len(users))
            some = np.flatnonzero(count)
            of_it = hits[some] & np.append(members, False)[top[some]]
            out[some, number, :-1] = user_metrics(of_it, count[some], self.metrics)
            out[some, number, -1] = unexpected[some]
        return out

    def _expose(self, top: Longs, warm: Flags, exposure: dict[tuple[str, int], Longs]) -> None:
        for group, length in exposure:
            chosen = {"warm": warm, "cold": ~warm, "all": np.ones_like(warm)}[group]
            listed = top[chosen, :length]
            exposure[group, length] += np.bincount(listed[listed >= 0], minlength=self.task.num_items)


def batched(items: Iterable[Longs], size: int) -> Iterator[list[Longs]]:
    """``items`` in lists of ``size``, the last one shorter (``itertools.batched`` is of Python 3.12)."""
    rest = iter(items)
    while several := list(islice(rest, size)):
        yield several


def metric_columns(metrics: Sequence[str]) -> tuple[str, ...]:
    """The names of the last axis of ``Ranked.values``."""
    return (*metrics, NOVELTY)
