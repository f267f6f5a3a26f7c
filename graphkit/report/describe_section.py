"""The page's parts about what the data and the graph look like: the paper's section 3, and what joins what."""

from __future__ import annotations

from dataclasses import dataclass

from markupsafe import Markup

from graphkit.describe.dataset import DatasetDescription
from graphkit.describe.degrees import QUANTILES, Strengths
from graphkit.describe.figures import Figure, NotMeasurable
from graphkit.describe.graph import GraphDescription, SnapshotDescription
from graphkit.describe.observations import ODDS, Observation
from graphkit.describe.pairs import Gap
from graphkit.describe.tables import figure_text, named_gaps
from graphkit.describe.target import TargetDescription
from graphkit.describe.weak_signals import WeakSignals
from graphkit.report.describe_charts import degree_chart, figure_2, heat_map
from graphkit.report.formatting import ABSENT, count, percent

#: Stands before a verdict, so that colour is not all that tells them apart.
_MARKS = {"holds": "▲", "does not hold": "▼", "undecided": "·", "mixed": "◆"}
_CLASSES = {"holds": "above", "does not hold": "below"}


@dataclass(frozen=True)
class ObservationRow:
    """One observation on one target type; a line is (figure, value, paper's, verdict, its class)."""

    statement: str
    criterion: str
    lines: list[tuple[str, str, str, str, str]]
    verdict: str


@dataclass(frozen=True)
class TargetFigures:
    """One target type's charts, pairs table (panel, pairs, joined, random, difference, n) and odds."""

    target: str
    scope: str
    chart: Markup
    pairs: list[tuple[str, str, str, str, str, str]]
    no_signals: str | None
    no_odds: str | None
    signals_scope: str
    odds: list[tuple[str, str, str, str, str]]
    heat_map: Markup | None


@dataclass(frozen=True)
class DataSection:
    """Everything the template shows of a ``DatasetDescription``."""

    window: str
    note: str
    everyone: str | None
    observations: list[ObservationRow]
    targets: list[TargetFigures]


@dataclass(frozen=True)
class SnapshotFigures:
    """One snapshot: what the balanced sampler meets, neighbours, components, support and weight."""

    snapshot: str
    same_as: str | None
    reference: str
    balance: list[tuple[str, str, str, str, str, str]]
    chart: Markup | None
    components: list[tuple[str, str, str, str, str]]
    quantile_names: list[str]
    quantiles: list[tuple[str, list[str]]]


def data_section(found: DatasetDescription) -> DataSection:
    """What the page shows of a dataset's description."""
    everyone = found.everyone
    shared = None
    if everyone is not None:
        top = everyone if isinstance(everyone, NotMeasurable) else everyone.top_share
        shared = figure_text(top, "share")
    return DataSection(
        found.window,
        found.listening_note,
        shared,
        [_observation(observation) for observation in found.observations],
        [_target(i, target) for i, target in enumerate(found.targets)],
    )


def _observation(found: Observation) -> ObservationRow:
    lines = []
    for part in found.parts:
        mark = f"{_MARKS[part.verdict]} {part.verdict}" if isinstance(part.figure, Figure) else ""
        wording = figure_text(part.figure, part.unit)
        lines.append((part.name, wording, part.paper if mark else "", mark, _CLASSES.get(part.verdict, "")))
    return ObservationRow(f"{found.number}. {found.statement}", found.criterion, lines, found.verdict)


def _target(number: int, found: TargetDescription) -> TargetFigures:
    weak = found.weak
    odds = weak.odds if isinstance(weak, WeakSignals) else []
    return TargetFigures(
        found.target,
        found.scope,
        figure_2(f"figure-2-{number}", found),
        [_pairs_row(panel, name, gap) for panel, name, gap in named_gaps(found)],
        weak.not_measurable if isinstance(weak, NotMeasurable) else None,
        odds.not_measurable if isinstance(odds, NotMeasurable) else None,
        weak.scope if isinstance(weak, WeakSignals) else "",
        []
        if isinstance(odds, NotMeasurable)
        else [
            (o.signal, figure_text(o.one_more, ODDS), figure_text(o.any, ODDS), count(o.pairs_with), count(o.pairs))
            for o in odds
        ],
        heat_map(f"signals-{number}", weak.together) if isinstance(weak, WeakSignals) else None,
    )


def _pairs_row(panel: str, name: str, gap: Gap | NotMeasurable) -> tuple[str, str, str, str, str, str]:
    if isinstance(gap, NotMeasurable):
        return panel, name, ABSENT, ABSENT, figure_text(gap), ABSENT
    means = figure_text(gap.joined), figure_text(gap.random)
    return panel, name, *means, figure_text(gap.difference), count(gap.pairs)


def graph_figures(found: GraphDescription) -> list[SnapshotFigures]:
    """What the page shows of a graph's description."""
    return [_snapshot(snapshot) for snapshot in found.snapshots]


def _snapshot(found: SnapshotDescription) -> SnapshotFigures:
    return SnapshotFigures(
        found.snapshot,
        found.same_as,
        found.reference or "the target type's own",
        [
            (
                row.relation,
                count(row.edges),
                _times(row.over_target),
                _times(row.over_smallest),
                count(row.drawn),
                percent(row.visited),
            )
            for row in found.balance
        ],
        None if found.same_as else degree_chart(f"degrees-{found.snapshot}", found.degrees),
        [
            (
                row.relation or "all relations",
                count(row.components),
                count(row.largest),
                count(row.isolated),
                ", ".join(f"{name} {percent(share)}" for name, share in row.largest_by_type.items()),
            )
            for row in found.components
        ],
        [f"{at:.0%}" for at in QUANTILES],
        [line for row in found.strengths for line in _strength(row)],
    )


def _strength(row: Strengths) -> list[tuple[str, list[str]]]:
    return [
        (f"{row.relation}, support", [f"{value:,.0f}" for value in row.support.values()]),
        (f"{row.relation}, weight", [f"{value:.3g}" for value in row.weight.values()]),
    ]


def _times(ratio: float | None) -> str:
    return ABSENT if ratio is None else f"{ratio:.2f}\N{NO-BREAK SPACE}\N{MULTIPLICATION SIGN}"
