"""One colouring of a map of vectors in two dimensions, with its legend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from graphkit.report.charts import GREY, PALETTE, scatter_png

OTHER: Final = "other or unknown"


@dataclass(frozen=True)
class MapPanel:
    """One colouring of the map; ``legend`` holds (colour, label)."""

    title: str
    image: str
    legend: list[tuple[str, str]]
    alt: str


def map_panel(
    title: str,
    about: str,
    points: npt.NDArray[np.floating],
    labels: Sequence[str | None],
    named: Sequence[str],
    order: npt.NDArray[np.int64] | None = None,
) -> MapPanel:
    """A scatter of ``points`` [n, 2], drawn in ``order``, as many of the ``named`` labels in colour as there are
    colours; ``about`` starts its text for those who do not see it."""
    colour = dict(zip(named, PALETTE, strict=False))
    count = Counter(label if label in colour else OTHER for label in labels)
    legend = [(colour.get(name, GREY), f"{name} ({count[name]:,})") for name in (*colour, OTHER) if count[name]]
    drawn = np.arange(len(points)) if order is None else order
    image = scatter_png(points[drawn], [colour.get(labels[i] or "", GREY) for i in drawn])
    return MapPanel(title, image, legend, f"{about}: {', '.join(name for _, name in legend)}")
