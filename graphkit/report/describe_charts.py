"""The charts about the data and the graph: the paper's figures 2 and 4, and how many neighbours nodes have."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from markupsafe import Markup
from matplotlib.figure import Figure as Canvas
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter

from graphkit.describe.concentration import Concentration
from graphkit.describe.degrees import Degrees
from graphkit.describe.figures import NotMeasurable
from graphkit.describe.pairs import Gap
from graphkit.describe.target import TargetDescription
from graphkit.describe.weak_signals import CoOccurrence
from graphkit.report.charts import GREY, PALETTE, STYLE, svg

_PERCENT: Final = FuncFormatter(lambda value, _: f"{100 * value:.0f} %")
#: The darkest cell of the heat map still lets the page's text be read on it.
_MAX_ALPHA: Final = 0.6


def figure_2(name: str, found: TargetDescription) -> Markup:
    """The paper's figure 2 for one target type: panels A to D; a panel that has no data says why."""
    with mpl.rc_context(STYLE):
        canvas = Canvas(figsize=(10.4, 6.6), layout=ConstrainedLayoutEngine(w_pad=0.14, h_pad=0.12))
        a, b, c, d = canvas.subplots(2, 2).flat
        _curves(a, {"users": found.users, "titles": found.titles})
        _densities(b, "B: Taste of users in other types", {"share a title": found.taste}, "two random users")
        texts = f"by {found.text_model}" if found.text_model else ""
        _densities(c, "C: Text of titles", {"share a user": found.text}, "two random titles", texts)
        through = found.through
        gaps = {"another type": through} if isinstance(through, NotMeasurable) else through
        named = {f"via {other} only": gap for other, gap in gaps.items()}
        _densities(d, "D: Text of titles that no user has both of", named, "two random titles", texts)
        panels = "concentration, taste, text of co-listened titles, text of titles joined through others"
        return svg(canvas, name, f"Four panels about {found.target}: {panels}.")


def _curves(axes: Any, curves: dict[str, Concentration | NotMeasurable]) -> None:
    axes.set_title("A: Concentration")
    amounts = []
    for i, (label, curve) in enumerate(curves.items()):
        if isinstance(curve, NotMeasurable):
            _say_why(axes, curve)
            return
        amounts.append(curve.amount)
        values = [[getattr(point, end) for point in curve.curve] for end in ("value", "low", "high")]
        named = f"{curve.count:,} {label}, top {curve.top:.0%}: {curve.top_share.value:.1%}"
        axes.plot(curve.steps, values[0], color=PALETTE[i], linewidth=1.5, label=named)
        axes.fill_between(curve.steps, values[1], values[2], color=PALETTE[i], alpha=0.2, linewidth=0)
        axes.plot(curve.top, curve.top_share.value, "o", color=PALETTE[i], markersize=5)
    axes.plot([0, 1], [0, 1], color=GREY, linestyle="--", linewidth=1, label="all alike")
    axes.set(xlabel="share of users, or of titles, the largest first", ylabel=f"share of {amounts[0]}")
    axes.set(xlim=(0, 1), ylim=(0, 1.02))
    axes.xaxis.set_major_formatter(_PERCENT)
    axes.yaxis.set_major_formatter(_PERCENT)
    axes.legend(fontsize=8, loc="lower right")


def _densities(axes: Any, title: str, gaps: dict[str, Gap | NotMeasurable], random_label: str, how: str = "") -> None:
    """A density of the joined pairs of each gap, and of the random pairs of the first."""
    axes.set_title(title)
    measured = {label: gap for label, gap in gaps.items() if isinstance(gap, Gap)}
    if not measured:
        _say_why(axes, next(gap for gap in gaps.values() if isinstance(gap, NotMeasurable)))
        return
    first = next(iter(measured.values()))
    highest = _density(axes, first, "random", GREY, random_label, filled=True)
    for i, (label, gap) in enumerate(measured.items()):
        colour = PALETTE[i % len(PALETTE)]
        highest = max(highest, _density(axes, gap, "joined", colour, label, filled=len(measured) == 1))
    axes.set(xlabel=f"cosine {how}".strip(), ylabel="density of pairs")
    # Room for the legend above the curves.
    axes.set_ylim(0, highest * (1.25 + 0.11 * len(measured)))
    axes.legend(fontsize=8, loc="upper right")


def _density(axes: Any, gap: Gap, group: str, colour: str, label: str, *, filled: bool) -> float:
    """Draw the pairs of ``group`` (``joined`` or ``random``) and their mean; the curve's height."""
    edges = np.array(gap.histogram.edges)
    middle, height = (edges[1:] + edges[:-1]) / 2, np.array(gap.histogram.shares[group]) / np.diff(edges)
    mean = getattr(gap, group).value
    axes.plot(middle, height, color=colour, linewidth=1.5, label=f"{label}, mean {mean:.3f}")
    axes.plot([mean, mean], [0, np.interp(mean, middle, height)], color=colour, linestyle="--", linewidth=1)
    if filled:
        axes.fill_between(middle, height, color=colour, alpha=0.25, linewidth=0)
    return float(height.max())


def _say_why(axes: Any, why: NotMeasurable) -> None:
    axes.set_axis_off()
    text = textwrap.fill(f"not measurable: {why.not_measurable}", 44)
    axes.text(0.5, 0.5, text, ha="center", va="center", transform=axes.transAxes)


def heat_map(name: str, found: CoOccurrence) -> Markup:
    """Which signals occur together (paper figure 4): the share of a row's pairs that also have the column's
    signal, and beside it the share of all pairs that have the row's."""
    size = len(found.signals)
    with mpl.rc_context(STYLE):
        canvas = Canvas(figsize=(3.2 + 1.3 * size, 1.3 + 0.5 * size), layout="constrained")
        cells, bars = canvas.subplots(1, 2, width_ratios=(size, 1.8))
        for i, row in enumerate(found.also):
            for j, also in enumerate(row):
                alpha = _MAX_ALPHA * also.value if also is not None else 0.0
                patch = mpl.patches.Rectangle((j - 0.5, i - 0.5), 1, 1, color=PALETTE[0], alpha=alpha, linewidth=0)
                cells.add_patch(patch)
                text = "-" if also is None else f"{100 * also.value:.0f} %"
                cells.text(j, i, text, ha="center", va="center")
        cells.set_xticks(range(size), found.signals)
        for axes in (cells, bars):
            axes.set_yticks(range(size), found.signals if axes is cells else [""] * size)
            axes.set_ylim(size - 0.5, -0.5)
        cells.set(xlim=(-0.5, size - 0.5), title="Share of the row's pairs that also have")
        cells.grid(visible=False)
        _shares(bars, found)
        return svg(canvas, name, f"Heat map of the signals {', '.join(found.signals)}, and the share of each.")


def _shares(axes: Any, found: CoOccurrence) -> None:
    rows, values = range(len(found.share)), [share.value for share in found.share]
    error = [[s.value - s.low for s in found.share], [s.high - s.value for s in found.share]]
    axes.barh(rows, values, color=PALETTE[1], alpha=0.8, height=0.6)
    ink = mpl.rcParams["text.color"]
    axes.errorbar(values, rows, xerr=error, color=ink, linewidth=1.2, linestyle="none", capsize=2)
    axes.tick_params(left=False)
    axes.set(title="Share of all pairs", xlim=(0, 1))
    axes.xaxis.set_major_formatter(_PERCENT)
    axes.grid(visible=False, axis="y")


def degree_chart(name: str, degrees: Sequence[Degrees]) -> Markup:
    """Nodes by number of neighbours, one panel a node type, one line a relation that has edges and one for all."""
    degrees = [found for found in degrees if found.relation is None or found.without_edge < found.nodes]
    types = list(dict.fromkeys(found.node_type for found in degrees))
    columns = min(2, len(types))
    rows = -(-len(types) // columns)
    with mpl.rc_context(STYLE):
        canvas = Canvas(figsize=(5.6 * columns, 2.9 * rows), layout="constrained")
        grid = canvas.subplots(rows, columns, squeeze=False)
        for axes in grid.flat[len(types) :]:
            axes.set_axis_off()
        for node_type, axes in zip(types, grid.flat, strict=False):
            _degrees(axes, node_type, [found for found in degrees if found.node_type == node_type])
        return svg(canvas, name, f"Number of neighbours of the nodes of {', '.join(types)}, by relation.")


def _degrees(axes: Any, node_type: str, degrees: Sequence[Degrees]) -> None:
    labels = max((list(found.histogram) for found in degrees), key=len)
    for i, found in enumerate(degrees):
        shares = [count / max(found.nodes, 1) for count in found.histogram.values()]
        colour = GREY if found.relation is None else PALETTE[(i - 1) % len(PALETTE)]
        style = {"linewidth": 2.5 if found.relation is None else 1.3, "marker": "o", "markersize": 2.5}
        axes.plot(range(len(shares)), shares, color=colour, label=found.relation or "all relations", **style)
    starts = [label.split("-")[0] for label in labels]
    axes.set_xticks(range(0, len(labels), 1 + len(labels) // 10), starts[:: 1 + len(labels) // 10])
    axes.set(title=f"{node_type} ({degrees[0].nodes:,})", xlabel="neighbours, from", ylabel="share of nodes")
    axes.yaxis.set_major_formatter(_PERCENT)
    axes.set_ylim(bottom=0)
    axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
