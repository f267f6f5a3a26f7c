"""Charts as inline SVG: no outside reference, text in the page's own colour, the same bytes every time."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from markupsafe import Markup, escape
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, MaxNLocator

#: Okabe and Ito's colours, which colour-blind readers can tell apart, without their black and yellow.
PALETTE: Final = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#56b4e9", "#7f5fa8", "#9a8700")
GREY: Final = "#9a9a9a"
#: Stands for the page's text colour while drawing; becomes ``currentColor``, which follows light and dark.
_INK: Final = "#010203"
_MARKERS: Final = "osD^vPX*"
STYLE: Final[Any] = {
    "svg.fonttype": "none",
    "font.size": 9,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.titlecolor": _INK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": GREY,
    "grid.alpha": 0.25,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
    # Literal text: a "$" in a name is no formula.
    "text.parse_math": False,
}


@dataclass(frozen=True)
class Panel:
    """One line chart over epochs: ``lines`` maps a label to a value per epoch (None: not measured).

    ``counts`` says that the values are whole numbers, drawn from zero.
    """

    title: str
    y_label: str
    lines: Mapping[str, Sequence[float | None]]
    counts: bool = False


def epoch_panels(name: str, epochs: Sequence[int], panels: Sequence[Panel], best: int | None, alt: str) -> Markup:
    """Panels side by side over training epochs, the best epoch marked by a dashed line."""
    with mpl.rc_context(STYLE):
        figure = Figure(
            figsize=(sum(3.6 + 1.4 * (len(panel.lines) > 1) for panel in panels), 2.8), layout="constrained"
        )
        for panel, axes in zip(panels, figure.subplots(1, len(panels), squeeze=False)[0], strict=True):
            for i, (label, values) in enumerate(panel.lines.items()):
                points = [np.nan if value is None else value for value in values]
                style = {"color": PALETTE[i % 8], "marker": _MARKERS[i % 8], "markersize": 3.5}
                axes.plot(epochs, points, label=label, linewidth=1.5, **style)
            if best is not None:
                axes.axvline(best, color=GREY, linestyle="--", linewidth=1)
            axes.set(title=panel.title, xlabel="epoch", ylabel=panel.y_label)
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
            if panel.counts:
                axes.set_ylim(bottom=0)
                axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
            if len(panel.lines) > 1:
                axes.legend(fontsize=8, loc="upper left", bbox_to_anchor=(1.0, 1.0))
        return svg(figure, name, alt)


def intervals(
    name: str,
    cells: Mapping[str, Mapping[str, tuple[float, float, float]]],
    x_label: str,
    alt: str,
    colours: Mapping[str, str],
) -> Markup:
    """A dot with its interval per model, one panel a cell: ``cells[title][model] = (value, low, high)``.

    ``colours`` names every model in the order of the rows; one that a cell lacks has an empty row there.
    """
    columns = min(2, len(cells))
    rows = -(-len(cells) // columns)
    with mpl.rc_context(STYLE):
        size = (4.8 * columns, rows * (0.7 + 0.24 * len(colours)) + 0.2)
        figure = Figure(figsize=size, layout=ConstrainedLayoutEngine(h_pad=0.09))
        grid = figure.subplots(rows, columns, squeeze=False)
        for axes in grid.flat[len(cells) :]:
            axes.set_axis_off()
        for (title, found), axes in zip(cells.items(), grid.flat, strict=False):
            _dots(axes, colours, found)
            axes.set_title(title)
        for axes in grid.flat[max(0, len(cells) - columns) : len(cells)]:
            axes.set_xlabel(x_label)
        return svg(figure, name, alt)


def _dots(axes: Any, colours: Mapping[str, str], found: Mapping[str, tuple[float, float, float]]) -> None:
    for i, (model, colour) in enumerate(colours.items()):
        if model in found:
            value, low, high = found[model]
            style = {"color": colour, "marker": "o", "markersize": 5, "linewidth": 1.5, "capsize": 2.5}
            axes.errorbar(value, i, xerr=[[max(value - low, 0)], [max(high - value, 0)]], **style)
    axes.set_yticks(range(len(colours)), list(colours))
    axes.set_ylim(len(colours) - 0.5, -0.5)
    axes.set_xlim(left=0)
    axes.grid(visible=False, axis="y")


def svg(figure: Figure, name: str, alt: str) -> Markup:
    """The figure as an SVG element that scales to its column; ``name`` keeps its ids apart from others'."""
    buffer = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": name}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = buffer.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>", "", text[text.index("<svg") :], flags=re.DOTALL)
    head, body = text.split(">", 1)
    box = re.search(r'viewBox="[^"]*"', head)
    width = round(float(figure.get_figwidth()) * 72 * 1.25)
    label = f'role="img" aria-label="{escape(alt)}" style="max-width:{width}px"'
    # Ids such as "figure_1" repeat in every chart of a page, where an id must be unique.
    body = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{name}-", body)
    return Markup(f"<svg {box.group() if box else ''} {label}>{body.replace(_INK, 'currentColor')}")


def scatter_png(points: npt.NDArray[np.floating], colours: Sequence[str]) -> str:
    """Points [n, 2] as a transparent square PNG, as a data URI."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(4.6, 4.6))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set_axis_off()
        axes.scatter(
            points[:, 0],
            points[:, 1],
            c=list(colours),
            s=float(np.clip(14_000 / len(points), 5, 40)),
            alpha=0.75,
            linewidths=0,
        )
        axes.margins(0.02)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=150, transparent=True, metadata={"Software": None})
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
