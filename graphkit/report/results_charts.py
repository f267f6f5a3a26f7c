"""The charts of the evaluation: every model with its interval, the popularity tiers, and coverage against accuracy.

Ablations are in none of them; ours, the other trained models and the peers have a colour each.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine

from graphkit.report.charts import GREY, PALETTE, STYLE, intervals, svg
from graphkit.report.evaluation_data import ALL, TIERS, EvaluationData
from graphkit.report.formatting import percent

#: The metric of the tiers and of the scatter: it looks at the order within the first ten.
ACCURACY: Final = "NDCG@10"
COVERAGE: Final = "Coverage@100"
#: As many peers as bars can be told apart beside the trained models.
_BEST_PEERS: Final = 3
_OURS, _LEARNED, _PEER = PALETTE[4], PALETTE[0], GREY
#: The least distance between two labels of the scatter, as a share of its height.
_LABEL_STEP: Final = 0.062


def cell_intervals(data: EvaluationData, metric: str) -> Markup:
    """A dot with its interval per model, one panel a target type and user group."""
    models = [*data.peers, *data.learned]
    cells = {
        f"{cell.title} (n = {cell.num_users:,})": {
            row["model"]: (row["value"], row["low"], row["high"])
            for model in models
            if (row := data.row(model, cell.target_type, cell.group, metric)) is not None
        }
        for cell in data.cells
    }
    alt = f"{metric} of every model with its 95 % interval, one panel per target type and user group."
    return intervals("results", cells, metric, alt, {model: _colour(model, data) for model in models})


def tier_bars(data: EvaluationData) -> Markup:
    """Accuracy by popularity tier, one panel a target type: the trained models and the best peers over all types."""
    scope = ALL if len(data.targets) > 1 else data.targets[0]
    rows = [row for peer in data.peers if (row := data.row(peer, scope, data.everyone, ACCURACY)) is not None]
    best = [row["model"] for row in sorted(rows, key=lambda row: -row["value"])[:_BEST_PEERS]]
    models = [*(peer for peer in data.peers if peer in best), *data.learned]
    with mpl.rc_context(STYLE):
        size = (9.6, 0.4 + 2.5 * len(data.targets))
        canvas = Canvas(figsize=size, layout=ConstrainedLayoutEngine(h_pad=0.09))
        panels = canvas.subplots(len(data.targets), 1, squeeze=False)[:, 0]
        for target, axes in zip(data.targets, panels, strict=True):
            _bars(axes, models, target, data)
        panels[0].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        alt = f"{ACCURACY} by popularity tier of {', '.join(models)}, one panel per target type."
        return svg(canvas, "tiers", alt)


def _bars(axes: Any, models: Sequence[str], target: str, data: EvaluationData) -> None:
    width = 0.8 / len(models)
    for number, model in enumerate(models):
        rows = [data.row(model, target, data.everyone, ACCURACY, segment) for segment in TIERS]
        at = [i + (number - (len(models) - 1) / 2) * width for i, row in enumerate(rows) if row is not None]
        there = [row for row in rows if row is not None]
        colour = _OURS if model == data.ours else PALETTE[(number + (number >= 4)) % len(PALETTE)]
        axes.bar(at, [row["value"] for row in there], width * 0.92, color=colour, alpha=0.85, label=model)
        ends = [[max(row["value"] - row["low"], 0) for row in there], [row["high"] - row["value"] for row in there]]
        ink = mpl.rcParams["text.color"]
        axes.errorbar(at, [row["value"] for row in there], yerr=ends, color=ink, linestyle="none", linewidth=0.8)
    labels = ["tier 1\nmost popular", *TIERS[1:4], "tier 5\nleast popular", "new"]
    axes.set_xticks(range(len(TIERS)), labels)
    axes.set(title=f"{target}, {data.everyone} users", ylabel=ACCURACY, xlim=(-0.5, len(TIERS) - 0.5))
    axes.set_ylim(bottom=0)
    axes.grid(visible=False, axis="x")


def coverage_against_accuracy(data: EvaluationData) -> Markup:
    """A labelled point per model, one panel a target type."""
    models = [*data.peers, *data.learned]
    columns = min(2, len(data.targets))
    rows = -(-len(data.targets) // columns)
    with mpl.rc_context(STYLE):
        size = (5.6 * columns, 3.7 * rows)
        canvas = Canvas(figsize=size, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.1))
        grid = canvas.subplots(rows, columns, squeeze=False)
        for axes in grid.flat[len(data.targets) :]:
            axes.set_axis_off()
        for target, axes in zip(data.targets, grid.flat, strict=False):
            _points(axes, models, target, data)
        alt = f"{COVERAGE} against {ACCURACY} of {', '.join(models)}, one panel per target type."
        return svg(canvas, "coverage-accuracy", alt)


def _points(axes: Any, models: Sequence[str], target: str, data: EvaluationData) -> None:
    found = []
    for model in models:
        accuracy, coverage = (data.row(model, target, data.everyone, name) for name in (ACCURACY, COVERAGE))
        if accuracy is not None and coverage is not None:
            found.append((accuracy["value"], coverage["value"], model))
    top = max((value for value, _, _ in found), default=0) or 1
    axes.set(title=f"{target}, {data.everyone} users", xlabel=COVERAGE, ylabel=ACCURACY)
    axes.set(xlim=(-0.03, 1.03), ylim=(0, 1.1 * top))
    axes.xaxis.set_major_formatter(lambda value, _: percent(value).replace(".0 ", " "))
    found.sort()
    heights = _spread_out([value / (1.1 * top) for value, _, _ in found])
    for (value, coverage, model), height in zip(found, heights, strict=True):
        colour = _colour(model, data)
        marker = "D" if model == data.ours else "o"
        axes.plot(coverage, value, color=colour, marker=marker, markersize=7 if model == data.ours else 5)
        line = {"arrowstyle": "-", "color": GREY, "linewidth": 0.5, "alpha": 0.8, "shrinkB": 3}
        axes.annotate(
            model, (coverage, value), (1.05, height), textcoords="axes fraction", arrowprops=line, va="center", size=8
        )


def _spread_out(heights: Sequence[float]) -> list[float]:
    """Ascending ``heights`` in 0..1 moved as little as needed to be a label's height apart."""
    placed: list[float] = []
    for height in heights:
        placed.append(max(height, placed[-1] + _LABEL_STEP) if placed else max(height, 0))
    ceiling = max(1.0, _LABEL_STEP * (len(placed) - 1))
    for i in reversed(range(len(placed))):
        placed[i] = min(placed[i], ceiling - _LABEL_STEP * (len(placed) - 1 - i))
    return [float(np.round(height, 4)) for height in placed]


def _colour(model: str, data: EvaluationData) -> str:
    if model == data.ours:
        return _OURS
    return _LEARNED if model in data.learned else _PEER
