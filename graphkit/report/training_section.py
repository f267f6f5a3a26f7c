"""The page's training curves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup

from graphkit.artefacts import Batch
from graphkit.report.charts import Panel, epoch_panels

_FILE: Final = "training.json"
#: Panels that stand side by side; more of them would be too small to read.
_PANELS_IN_A_ROW: Final = 3


@dataclass(frozen=True)
class Curves:
    """One model's curves and a sentence about where they stopped."""

    title: str
    chart: Markup
    note: str


def training_section(hgnn: Batch | None, towers: Batch | None) -> list[Curves]:
    """The curves of whichever of the two models there is."""
    found = []
    if hgnn is not None:
        found.append(_curves(hgnn, "HGNN", _hgnn_panels))
    if towers is not None:
        found.append(_curves(towers, "Two towers", _towers_panels))
    return [curves for curves in found if curves is not None]


def _curves(batch: Batch, title: str, panels_of: Any) -> Curves | None:
    path = batch.path(_FILE)
    body = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    epochs: list[dict[str, Any]] = body.get("epochs", [])
    if not epochs:
        return None
    numbers = [int(epoch.get("epoch", i)) for i, epoch in enumerate(epochs, start=1)]
    best = body.get("best_epoch")
    panels = [panel for panel in panels_of(epochs) if panel.lines]
    charts = []
    for row, start in enumerate(range(0, len(panels), _PANELS_IN_A_ROW)):
        chosen = panels[start : start + _PANELS_IN_A_ROW]
        alt = f"Training of {title} by epoch: {', '.join(panel.title for panel in chosen)}."
        name = f"training-{batch.manifest.stage}" + (f"-{row + 1}" if row else "")
        charts.append(epoch_panels(name, numbers, chosen, best, alt))
    note = f"{len(epochs)} epochs" + (f"; the weights kept are those of epoch {best} (dashed line)." if best else ".")
    return Curves(title, Markup("\n").join(charts), note)


def _hgnn_panels(epochs: list[dict[str, Any]]) -> list[Panel]:
    rates = _lines(epochs, {"learning_rate": "learning rate"})
    constant = all(len(set(values)) == 1 for values in rates.values())
    return [
        Panel("Training loss", "mean loss per link", _lines(epochs, {"loss": "loss"})),
        Panel("Validation MRR", "MRR of held-out edges", _lines(epochs, {"val_mrr": "validation MRR"})),
        Panel(
            "Edges drawn per relation",
            "edges an epoch",
            _by_name(epochs, "edges"),
            counts=True,
        ),
        Panel("Links seen so far", "share of a relation's links", _by_name(epochs, "coverage")),
        Panel("Learning rate", "learning rate", {} if constant else rates),
    ]


def _towers_panels(epochs: list[dict[str, Any]]) -> list[Panel]:
    mean = _lines(epochs, {"val_ndcg": "mean of cells"})
    return [
        Panel("Loss", "mean loss per example", _lines(epochs, {"loss": "training", "val_loss": "validation"})),
        Panel("Validation NDCG@10", "NDCG@10", mean | _by_name(epochs, "val_ndcg_cells")),
    ]


def _by_name(epochs: list[dict[str, Any]], key: str) -> dict[str, list[float | None]]:
    """A line for each name that a record has a figure for under ``key``."""
    names = sorted({name for epoch in epochs for name in epoch.get(key) or {}})
    return {name: [(epoch.get(key) or {}).get(name) for epoch in epochs] for name in names}


def _lines(epochs: list[dict[str, Any]], names: dict[str, str]) -> dict[str, list[float | None]]:
    return {
        label: [epoch.get(key) for epoch in epochs]
        for key, label in names.items()
        if any(epoch.get(key) is not None for epoch in epochs)
    }
