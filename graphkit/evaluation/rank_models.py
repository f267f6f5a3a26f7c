"""Every model of the table ranked on every task: each user's figures to a file, and what is left as totals.

``users/<number>-<model>.parquet`` has a row per target type, segment and user with a test item in it: ``model``,
``target_type``, ``user`` u32, ``warm``, ``segment``, ``num_positives`` u32, and the metrics as f32, means over the
model's training seeds.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.evaluation.entries import Entry, Part
from graphkit.evaluation.groups import COLD, GROUPS, WARM
from graphkit.evaluation.metrics import COVERAGE
from graphkit.evaluation.ranking import Ranked, Ranker, metric_columns
from graphkit.evaluation.segments import SEGMENTS, WHOLE
from graphkit.parquet import GrowingTable
from graphkit.progress import track

USERS_DIR: Final = "users"
Floats = npt.NDArray[np.float64]
#: (target type, group, segment).
Place = tuple[str, str, str]


@dataclass(frozen=True)
class Totals:
    """What one model's lists come to, run by run.

    ``sums`` holds per place the sum of each user metric [metrics] and over how many lists; ``shown`` per place and
    coverage metric the items listed and those there are; ``gini`` per target type and group.
    """

    path: Path
    sums: dict[Place, list[tuple[Floats, int]]] = field(default_factory=dict)
    shown: dict[tuple[Place, str], list[tuple[int, int]]] = field(default_factory=dict)
    gini: dict[tuple[str, str], list[float]] = field(default_factory=dict)

    def add(self, ranker: Ranker, ranked: Ranked) -> None:
        """Take one run's lists of one target type."""
        task = ranker.task
        for group in GROUPS:
            values = ranked.values[task.members(group)]
            self.gini.setdefault((task.item_type, group), []).append(ranked.gini(group))
            for number, segment in enumerate(SEGMENTS):
                place, members = (task.item_type, group, segment), ranker.segments.members[number]
                of_it = values[:, number]
                of_it = of_it[~np.isnan(of_it[:, 0])]
                self.sums.setdefault(place, []).append((of_it.sum(axis=0, dtype=np.float64), len(of_it)))
                for metric, length in COVERAGE.items():
                    shown = (ranked.num_shown(group, length, members), int(members.sum()))
                    self.shown.setdefault((place, metric), []).append(shown)


def rank_models(entries: Iterable[Entry], rankers: Mapping[str, Ranker], folder: Path) -> dict[str, Totals]:
    """Rank each entry, model by model, so that one at a time is in memory; totals by the entry's name."""
    entries = list(entries)
    found = {}
    for number, entry in enumerate(track(entries, "ranking", len(entries))):
        name = re.sub(r"[^a-z0-9]+", "-", entry.name.lower()).strip("-")
        totals = Totals(folder / f"{number:02}-{name}.parquet")
        runs = [_rank(parts, rankers, totals) for parts in entry.runs]
        with GrowingTable(totals.path) as table:
            for item_type, ranker in rankers.items():
                values = runs[0][item_type].values
                if len(runs) > 1:
                    values = np.mean([run[item_type].values for run in runs], axis=0, dtype=np.float64)
                for frame in _frames(entry.name, ranker, values):
                    table.append(frame)
        found[entry.name] = totals
    return found


def _rank(parts: tuple[Part, ...], rankers: Mapping[str, Ranker], totals: Totals) -> dict[str, Ranked]:
    ranked = {item_type: ranker.empty() for item_type, ranker in rankers.items()}
    for part in parts:
        model = part.load()
        for item_type, ranker in rankers.items():
            rows = _rows(part, ranker)
            if len(rows):
                ranker.rank(model, rows, ranked[item_type])
    for item_type, ranker in rankers.items():
        totals.add(ranker, ranked[item_type])
    return ranked


def _rows(part: Part, ranker: Ranker) -> npt.NDArray[np.int64]:
    task = ranker.task
    if part.cells is None:
        return np.arange(len(task.users))
    chosen = [task.members(group) for group in (WARM, COLD) if (task.item_type, group) in part.cells]
    return np.sort(np.concatenate([np.zeros(0, np.int64), *chosen]))


def _frames(model: str, ranker: Ranker, values: npt.NDArray[np.floating]) -> Iterable[pl.DataFrame]:
    task = ranker.task
    row, item = task.positives.pairs(task.users)
    for number, segment in enumerate(SEGMENTS):
        there = np.flatnonzero(~np.isnan(values[:, number, 0]))
        count = np.bincount(row[ranker.segments.members[number][item]], minlength=len(task.users))
        figures = values[there, number].astype(np.float32)
        yield pl.DataFrame(
            {
                "model": pl.repeat(model, len(there), eager=True),
                "target_type": pl.repeat(task.item_type, len(there), eager=True),
                schemas.USER: task.users[there].astype(np.uint32),
                "warm": task.warm[there],
                "segment": pl.repeat(segment, len(there), eager=True),
                "num_positives": count[there].astype(np.uint32),
                **dict(zip(metric_columns(ranker.metrics), figures.T, strict=True)),
            }
        )


def read_users(path: Path, columns: Sequence[str], segment: str = WHOLE) -> pl.DataFrame:
    """``columns`` of one model's file, in one segment; the rows of every model are the same, in the same order."""
    return pl.scan_parquet(path).filter(pl.col("segment") == segment).select(columns).collect()
