"""The scaling plot: test loss against computing, the fitted law with its prediction interval, the run held out."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from graphkit.power_law import PowerLaw
from towers.encoders.scaling.runs import NOTHING, Run

_COLOURS: Final = ("#e69f00", "#009e73", "#cc79a7", "#d55e00")
_STYLE: Final[Any] = {"svg.hashsalt": "encoder-scaling", "font.size": 9} | dict.fromkeys(
    ("axes.spines.top", "axes.spines.right"), False
)


def draw_scaling(runs: Sequence[Run], law: PowerLaw) -> str:
    """An SVG; the last run of the ladder is the one that was held out. The same bytes for the same runs."""
    ladder = [run for run in runs if run.held_back == NOTHING]
    beside = [run for run in runs if run.held_back != NOTHING]
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(6.4, 4.2), layout="constrained")
        axes = figure.subplots()
        compute = np.geomspace(ladder[0].pf_days / 1.5, ladder[-1].pf_days * 1.5, 100)
        predicted = [law.predict(c) for c in compute]
        axes.plot(compute, [p.value for p in predicted], color="#0072b2", label=f"L = a C^-{law.exponent.value:.3f}")
        axes.fill_between(
            compute, [p.low for p in predicted], [p.high for p in predicted], color="#0072b2", alpha=0.15, lw=0
        )
        axes.plot([r.pf_days for r in ladder[:-1]], [r.test_loss for r in ladder[:-1]], "ko", label="fitted")
        axes.plot(ladder[-1].pf_days, ladder[-1].test_loss, "k*", markersize=11, label="held out")
        for run, colour in zip(beside, _COLOURS, strict=False):
            axes.plot(run.pf_days, run.test_loss, "v", color=colour, label=f"{run.held_back} held back")
        axes.set(xscale="log", yscale="log", xlabel="computing, PF-days", ylabel="test loss")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.3g}")
        axes.yaxis.set_minor_formatter(lambda value, _: f"{value:.3g}")
        axes.legend(frameon=False)
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
    return drawn.getvalue()
