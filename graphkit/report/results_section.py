"""The page's result tables: every model in every cell, and ours against each peer, won or lost."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from markupsafe import Markup

from graphkit.artefacts import Batch
from graphkit.evaluation.evaluate import RESULTS_JSON
from graphkit.evaluation.groups import ALL, COLD, WARM
from graphkit.evaluation.metrics import COVERAGE, USER_METRICS
from graphkit.report.charts import intervals
from graphkit.report.formatting import figure, signed

Row = dict[str, Any]
#: The metric of the chart and of the first comparison table.
FIRST: Final = "HR@10"
_METRICS: Final = (*USER_METRICS, *COVERAGE)


class Figure(NamedTuple):
    """One cell of a table: the value, its interval (empty for coverage), and whether no model is above it."""

    value: str
    interval: str
    best: bool


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
    """Ours minus a peer; ``verdict`` is ``above``, ``below`` or ``even`` (the interval holds 0)."""

    value: str
    interval: str
    verdict: str


@dataclass(frozen=True)
class Comparison:
    """Ours minus every peer by one metric, a row per cell."""

    metric: str
    rows: list[tuple[str, list[Difference]]]


@dataclass(frozen=True)
class ResultsSection:
    """Everything the template shows of the evaluation."""

    ours: str
    metrics: tuple[str, ...]
    tables: list[CellTable]
    peers: list[str]
    comparisons: list[Comparison]
    summary: list[str]
    chart: Markup
    counts: dict[str, dict[str, int]]
    models: dict[str, str]
    definitions: dict[str, str]


def results_section(evaluation: Batch) -> ResultsSection:
    """Read the section off ``results.json``; warm and cold are shown, their union is in the file."""
    body = json.loads(evaluation.path(RESULTS_JSON).read_text(encoding="utf-8"))
    body["results"] = [row for row in body["results"] if row["group"] in {WARM, COLD}]
    body["comparisons"] = [row for row in body["comparisons"] if row["group"] in {WARM, COLD}]
    peers = [model for model in body["models"] if model != body["ours"]]
    return ResultsSection(
        ours=body["ours"],
        metrics=_METRICS,
        tables=[_table(title, rows, body) for title, rows in _by_cell(body["results"], body).items()],
        peers=peers,
        comparisons=[_comparison(metric, body, peers) for metric in USER_METRICS],
        summary=[_verdict(peer, body) for peer in peers],
        chart=_chart(body),
        counts=body["counts"],
        models=body["models"],
        definitions=body["definitions"],
    )


def _by_cell(rows: list[Row], body: Row) -> dict[str, list[Row]]:
    """Rows by the title of their cell, target types first; the pooled cell only where there are several."""
    found: dict[str, list[Row]] = {}
    for row in rows:
        pooled = row["target_type"] == ALL
        if not (pooled and len(body["counts"]) == 1):
            name = "all target types" if pooled else row["target_type"]
            found.setdefault(f"{name}, {row['group']} users", []).append(row)
    return found


def _table(title: str, rows: list[Row], body: Row) -> CellTable:
    value = {(row["model"], row["metric"]): row for row in rows}
    best = {metric: max(value[model, metric]["value"] for model in body["models"]) for metric in _METRICS}
    return CellTable(
        title,
        rows[0]["num_users"],
        [
            ModelRow(
                model,
                model == body["ours"],
                [_figure(value[model, metric], best[metric]) for metric in _METRICS],
            )
            for model in body["models"]
        ],
    )


def _figure(row: Row, best: float) -> Figure:
    interval = "" if row["low"] is None else f"{figure(row['low'])} to {figure(row['high'])}"
    return Figure(figure(row["value"]), interval, row["value"] == best and best > 0)


def _comparison(metric: str, body: Row, peers: list[str]) -> Comparison:
    rows = [row for row in body["comparisons"] if row["metric"] == metric]
    return Comparison(
        metric,
        [
            (title, [_difference(row) for peer in peers for row in found if row["peer"] == peer])
            for title, found in _by_cell(rows, body).items()
        ],
    )


def _difference(row: Row) -> Difference:
    return Difference(signed(row["value"]), f"{signed(row['low'])} to {signed(row['high'])}", _side(row))


def _side(row: Row) -> str:
    if row["low"] > 0:
        return "above"
    return "below" if row["high"] < 0 else "even"


def _verdict(peer: str, body: Row) -> str:
    """In how many cells ours is above, even with, or below ``peer`` by the first metric."""
    rows = [
        row
        for row in body["comparisons"]
        if row["peer"] == peer and row["metric"] == FIRST and row["target_type"] != ALL
    ]
    sides = [_side(row) for row in rows]
    above, even, below = (sides.count(side) for side in ("above", "even", "below"))
    return f"against {peer}: above in {above}, undecided in {even}, below in {below} of {len(rows)} cells"


def _chart(body: Row) -> Markup:
    rows = [row for row in body["results"] if row["metric"] == FIRST]
    cells = {
        f"{title} (n = {found[0]['num_users']:,})": {
            row["model"]: (row["value"], row["low"], row["high"]) for row in found
        }
        for title, found in _by_cell(rows, body).items()
    }
    alt = f"{FIRST} of every model with its 95 % interval, one panel per target type and user group."
    return intervals("results", cells, FIRST, alt)
