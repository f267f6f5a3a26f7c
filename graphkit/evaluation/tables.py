"""From per-user figures to the result table: cells, means, intervals, spread over seeds and paired differences."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.evaluation.bootstrap import interval, resampled_means
from graphkit.evaluation.comparisons import holm, p_values
from graphkit.evaluation.groups import ALL, WARM, TargetTask
from graphkit.evaluation.metrics import COVERAGE, GINI, NOVELTY
from graphkit.evaluation.rank_models import Place, Totals, read_users
from graphkit.evaluation.segments import SEGMENTS, WHOLE

Row = dict[str, Any]
Floats = npt.NDArray[np.float64]
#: Figures and interval ends keep this many decimals, far below any interval's width.
DECIMALS: Final = 9


@dataclass(frozen=True)
class Cell:
    """One target type (or ``all``) and user group: whose lists are averaged."""

    target_type: str
    group: str
    types: tuple[str, ...]

    def places(self, segment: str) -> list[Place]:
        """What of the totals is pooled here."""
        return [(item_type, self.group, segment) for item_type in self.types]

    def members(self, users: pl.DataFrame) -> npt.NDArray[np.int64]:
        """Which rows of ``users`` (``target_type``, ``warm``) belong here."""
        found = pl.col("target_type").is_in(list(self.types))
        within = found if self.group == ALL else found & (pl.col("warm") == (self.group == WARM))
        return users.select(within.arg_true()).to_series().to_numpy().astype(np.int64)


def cells(tasks: Mapping[str, TargetTask], groups: tuple[str, ...]) -> Iterator[Cell]:
    """Every type and all types together, by user group, where there is anybody in it."""
    scopes = [(item_type, (item_type,)) for item_type in tasks]
    for target_type, types in [*scopes, (ALL, tuple(tasks))]:
        for group in groups:
            if any(len(tasks[item_type].members(group)) for item_type in types):
                yield Cell(target_type, group, types)


@dataclass(frozen=True)
class Table:
    """Turns the totals of all models, in the table's order, into rows."""

    totals: Mapping[str, Totals]
    metrics: tuple[str, ...]  # per-user ones, without novelty
    resamples: int
    seed: int

    def rows(self, found_cells: list[Cell]) -> tuple[list[Row], list[Row]]:
        """Result rows (one per model, cell, segment and metric) and comparison rows (of every pair of models)."""
        results: list[Row] = []
        comparisons: list[Row] = []
        for number, segment in enumerate(SEGMENTS):
            columns = (*self.metrics, NOVELTY) if segment == WHOLE else self.metrics
            paths = [totals.path for totals in self.totals.values()]
            users = read_users(paths[0], ("target_type", "warm", schemas.USER), segment)
            values = [read_users(path, columns, segment).to_numpy() for path in paths]
            for place, cell in enumerate(found_cells):
                rows = cell.members(users)
                if len(rows):
                    of_cell = _Lists(users[schemas.USER].to_numpy()[rows], [part[rows] for part in values], columns)
                    rng = np.random.default_rng([self.seed, number, place])
                    found, compared = self._cell(cell, segment, of_cell, rng)
                    results += found
                    comparisons += compared
        return results, comparisons

    def _cell(self, cell: Cell, segment: str, lists: _Lists, rng: np.random.Generator) -> tuple[list[Row], list[Row]]:
        columns = lists.columns
        users, of = np.unique(lists.users, return_inverse=True)
        counts = np.bincount(of).astype(np.float64)
        sums = np.stack([_per_user(part, of, len(users)) for part in lists.values], axis=1)
        draws = resampled_means(sums.reshape(len(users), -1), counts, self.resamples, rng)
        draws = draws.reshape(-1, len(lists.values), len(columns))
        mean = sums.sum(axis=0, dtype=np.float64) / counts.sum()  # [models, metrics]
        heading = {"target_type": cell.target_type, "group": cell.group}
        results: list[Row] = []
        for i, (model, totals) in enumerate(self.totals.items()):
            about = {"model": model} | heading | {"segment": segment}
            spread, seeds = self._spread(totals, cell, segment)
            for k, row in enumerate(_figures(about, columns, mean[i], draws[:, i])):
                results.append(row | {"spread": spread[k], "num_seeds": seeds, "num_users": len(users)})
            results += [row | {"num_users": len(users)} for row in _of_lists(about, totals, cell, segment)]
        if segment != WHOLE:
            return results, []
        return results, self._pairs(heading, mean, draws, len(users))

    def _spread(self, totals: Totals, cell: Cell, segment: str) -> tuple[list[float | None], int]:
        """The standard deviation over training seeds of each metric's mean, and how many seeds there are."""
        runs = list(zip(*(totals.sums[place] for place in cell.places(segment)), strict=True))
        means = [sum(s for s, _ in run) / max(sum(n for _, n in run), 1) for run in runs]
        if len(means) < 2:
            return [None] * (len(self.metrics) + 1), 1
        return [round(float(value), DECIMALS) for value in np.std(means, axis=0, ddof=1)], len(means)

    def _pairs(self, heading: Row, mean: Floats, draws: Floats, num_users: int) -> list[Row]:
        """The later model of the table minus the earlier one, for each pair."""
        columns, models = (*self.metrics, NOVELTY), list(self.totals)
        pairs = [(j, i) for i, j in combinations(range(len(models)), 2)]
        if not pairs:
            return []
        difference = np.stack([mean[i] - mean[j] for i, j in pairs])
        drawn = [draws[:, i] - draws[:, j] for i, j in pairs]
        p = np.stack([p_values(d, draw) for d, draw in zip(difference, drawn, strict=True)])
        adjusted = holm(p)
        rows = []
        for number, (i, j) in enumerate(pairs):
            about = {"model": models[i], "peer": models[j]} | heading
            for k, row in enumerate(_figures(about, columns, difference[number], drawn[number])):
                chances = {"p_value": float(p[number, k]), "p_holm": float(adjusted[number, k])}
                rows.append(row | chances | {"num_users": num_users})
        return rows


class _Lists(NamedTuple):
    """The lists of one cell: whose they are, and each model's figures, float32 [lists, metrics]."""

    users: npt.NDArray[np.uint32]
    values: list[npt.NDArray[np.float32]]
    columns: tuple[str, ...]


def _per_user(values: npt.NDArray[np.float32], of: npt.NDArray[np.int64], num_users: int) -> npt.NDArray[np.float32]:
    """Each user's figures summed over the lists of the cell: float32 [num_users, metrics]."""
    if len(of) == num_users:  # one list each: ``of`` puts them in order
        sums = np.empty_like(values)
        sums[of] = values
        return sums
    sums = np.zeros((num_users, values.shape[1]), np.float32)
    np.add.at(sums, of, values)
    return sums


def _figures(about: Row, columns: tuple[str, ...], mean: Floats, draws: Floats) -> Iterator[Row]:
    low, high = interval(draws)
    for metric, value, bottom, top in zip(columns, mean, low, high, strict=True):
        ends = {name: round(float(x), DECIMALS) for name, x in (("value", value), ("low", bottom), ("high", top))}
        yield about | {"metric": metric} | ends


def _of_lists(about: Row, totals: Totals, cell: Cell, segment: str) -> Iterator[Row]:
    """Coverage of the segment, and of the whole catalogue of one type Gini: means over seeds, without interval."""
    figures: dict[str, list[float]] = {}
    for metric in COVERAGE:
        runs = zip(*(totals.shown[place, metric] for place in cell.places(segment)), strict=True)
        figures[metric] = [sum(shown for shown, _ in run) / max(sum(size for _, size in run), 1) for run in runs]
    if segment == WHOLE and len(cell.types) == 1:
        figures[GINI] = totals.gini[cell.types[0], cell.group]
    for metric, values in figures.items():
        spread = round(float(np.std(values, ddof=1)), DECIMALS) if len(values) > 1 else None
        figure = {"value": round(float(np.mean(values)), DECIMALS), "low": None, "high": None, "spread": spread}
        yield about | {"metric": metric} | figure | {"num_seeds": len(values)}
