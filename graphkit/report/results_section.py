"""The page's result tables: every model in every cell, ours against the best peer and against each, won or lost."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from markupsafe import Markup

from graphkit.artefacts import Batch
from graphkit.report.ablation_section import AblationTable, ablation_tables
from graphkit.report.evaluation_data import ALL, TIERS, Cell, EvaluationData, Row
from graphkit.report.examples_section import Example, example_cards
from graphkit.report.formatting import ABSENT, count, figure, percent, signed
from graphkit.report.results_charts import cell_intervals, coverage_against_accuracy, tier_bars

#: The metric of the summary and of the first comparison table.
FIRST: Final = "HR@10"
#: Of these more is not better, or not worse either.
_NO_BEST: Final = ("Novelty@10", "Gini@10")
#: What Holm's p-value must be below for a difference to stand among all that are compared.
_LEVEL: Final = 0.05


class Figure(NamedTuple):
    """One cell of a table: the value, its interval and spread over seeds (empty where there is none), and whether
    no model is above it."""

    value: str
    interval: str = ""
    spread: str = ""
    best: bool = False


class ModelRow(NamedTuple):
    """One model's figures, in the order of the table's metrics."""

    model: str
    ours: bool
    figures: list[Figure]


@dataclass(frozen=True)
class CellTable:
    """All models for one target type and user group."""

    title: str
    num_users: int
    rows: list[ModelRow]


class Difference(NamedTuple):
    """Ours minus another; ``verdict`` is ``above``, ``below`` or ``even`` (the interval holds 0)."""

    value: str
    interval: str
    verdict: str
    peer: str = ""


@dataclass(frozen=True)
class Comparison:
    """Ours minus every other model by one metric: a row per model, a difference per cell."""

    metric: str
    rows: list[tuple[str, list[Difference]]]


@dataclass(frozen=True)
class ResultsSection:
    """Everything the template shows of the evaluation."""

    ours: str
    metrics: list[str]
    tables: list[CellTable]
    cells: list[str]
    gain_metrics: list[str]
    gains: list[tuple[str, list[Difference]]]
    comparisons: list[Comparison]
    correction: str
    summary: list[str]
    chart: Markup
    tiers: Markup
    tier_sizes: list[tuple[str, list[str]]]
    scatter: Markup
    ablations: list[AblationTable]
    examples: list[Example]
    counts: dict[str, dict[str, int]]
    models: dict[str, str]
    left_out: dict[str, str]
    definitions: dict[str, str]


def results_section(evaluation: Batch) -> ResultsSection:
    """Read the section off the batch; warm and cold users are shown, their union is in the file."""
    data = EvaluationData.open(evaluation)
    models = [model for model in data.body["models"] if model not in data.ablations]
    others = [model for model in models if model != data.ours]
    compared = list(dict.fromkeys(row["metric"] for row in data.body["comparisons"] if row["metric"] not in _NO_BEST))
    return ResultsSection(
        ours=data.ours,
        metrics=data.metrics,
        tables=[_table(cell, models, data) for cell in data.cells],
        cells=[cell.title for cell in data.cells],
        gain_metrics=compared,
        gains=[(cell.title, [_gain(cell, metric, data) for metric in compared]) for cell in data.cells],
        comparisons=[_comparison(metric, others, data) for metric in compared],
        correction=data.body["correction"],
        summary=[_verdict(peer, data) for peer in others],
        chart=cell_intervals(data, FIRST),
        tiers=tier_bars(data),
        tier_sizes=_tier_sizes(data),
        scatter=coverage_against_accuracy(data),
        ablations=ablation_tables(data),
        examples=example_cards(data.examples),
        counts=data.body["counts"],
        models=data.body["models"],
        left_out=data.body["left_out"],
        definitions=data.body["definitions"],
    )


def _table(cell: Cell, models: list[str], data: EvaluationData) -> CellTable:
    rows = {(m, k): data.row(m, cell.target_type, cell.group, k) for m in models for k in data.metrics}
    best = {k: max((row["value"] for m in models if (row := rows[m, k])), default=0) for k in data.metrics}
    return CellTable(
        cell.title,
        cell.num_users,
        [ModelRow(m, m == data.ours, [_figure(rows[m, k], best[k]) for k in data.metrics]) for m in models],
    )


def _figure(row: Row | None, best: float) -> Figure:
    if row is None:
        return Figure(ABSENT)
    interval = "" if row["low"] is None else f"{figure(row['low'])} to {figure(row['high'])}"
    spread = "" if row["spread"] is None else f"± {figure(row['spread'])}, {row['num_seeds']} seeds"
    return Figure(
        figure(row["value"]), interval, spread, row["metric"] not in _NO_BEST and row["value"] == best and best > 0
    )


def _gain(cell: Cell, metric: str, data: EvaluationData) -> Difference:
    """Ours minus the best peer of the cell, which the relative gain is of."""
    peer = data.best_peer(cell.target_type, cell.group, metric)
    row = None if peer is None else data.difference(peer, cell.target_type, cell.group, metric)
    if peer is None or row is None:
        return Difference(ABSENT, "", "even")
    found = _difference(row)
    base = data.row(peer, cell.target_type, cell.group, metric)
    share = f" ({100 * row['value'] / base['value']:+.0f} %)" if base and base["value"] > 0 else ""
    return Difference(found.value + share.replace("-", "\N{MINUS SIGN}"), found.interval, found.verdict, peer)


def _comparison(metric: str, others: list[str], data: EvaluationData) -> Comparison:
    rows = []
    for model in others:
        found = [data.difference(model, cell.target_type, cell.group, metric) for cell in data.cells]
        rows.append((model, [Difference(ABSENT, "", "even") if row is None else _difference(row) for row in found]))
    return Comparison(metric, rows)


def _difference(row: Row) -> Difference:
    interval = f"{signed(row['low'])} to {signed(row['high'])}"
    stands = "" if row["p_holm"] < _LEVEL else f", p {row['p_holm']:.2f}"
    return Difference(signed(row["value"]), interval + stands, _side(row))


def _side(row: Row) -> str:
    if row["low"] > 0:
        return "above"
    return "below" if row["high"] < 0 else "even"


def _verdict(peer: str, data: EvaluationData) -> str:
    """In how many cells ours is above, even with, or below ``peer`` by the first metric."""
    cells = [cell for cell in data.cells if cell.target_type != ALL]
    found = [data.difference(peer, cell.target_type, cell.group, FIRST) for cell in cells]
    sides = [_side(row) for row in found if row is not None]
    above, even, below = (sides.count(side) for side in ("above", "even", "below"))
    return f"against {peer}: above in {above}, undecided in {even}, below in {below} of {len(sides)} cells"


def _tier_sizes(data: EvaluationData) -> list[tuple[str, list[str]]]:
    """Per target type, each tier with its items and its share of train."""
    return [
        (
            target,
            [
                f"{part['segment']}: {count(part['items'])} items, {percent(part['train_share'])} of train"
                for part in parts
                if part["segment"] in TIERS
            ],
        )
        for target, parts in data.body["tiers"].items()
    ]
