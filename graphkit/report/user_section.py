"""The page's part on user vectors: what they are good for, task by task, and a map of each space."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl

from graphkit.artefacts import Batch
from graphkit.downstream.files import MAP_FILE, RESULTS_JSON
from graphkit.report.charts import PALETTE
from graphkit.report.formatting import ABSENT, figure, signed
from graphkit.report.map_panel import MapPanel, map_panel

#: What the maps are coloured by, in this order, each where at least two values are known.
COLOURINGS: Final = {"genre": "the genre of most plays", "country": "country", "age": "age band"}


class UserRow(NamedTuple):
    """A model's figure over all users, its difference from the mean embeddings, and of cold and heavy users."""

    model: str
    value: str
    interval: str
    difference: str
    verdict: str  # above, below or even
    cold: str
    heavy: str


class UserTable(NamedTuple):
    """One task and metric."""

    title: str
    what: str
    num_users: int
    rows: list[UserRow]


@dataclass(frozen=True)
class UserSection:
    """Everything the template shows about user vectors."""

    tables: list[UserTable]
    models: dict[str, str]
    left_out: dict[str, str]
    costs: list[dict[str, Any]]
    maps: list[MapPanel]
    shown: int


def user_section(batch: Batch) -> UserSection:
    """Read the section off a ``downstream`` batch."""
    body = json.loads(batch.path(RESULTS_JSON).read_text(encoding="utf-8"))
    drawn = pl.read_parquet(batch.path(MAP_FILE))
    shown = drawn["user_id"].n_unique()
    return UserSection(
        _tables(body), body["models"], body["left_out"], batch.manifest.metrics["costs"], _maps(drawn), shown
    )


def _tables(body: dict[str, Any]) -> list[UserTable]:
    found: dict[tuple[str, str], dict[str, dict[str, Any]]] = {}
    for row in body["results"]:
        of_model = found.setdefault((row["task"], row["metric"]), {}).setdefault(row["model"], {})
        of_model[row["group"]] = row
    return [
        UserTable(
            f"{task}: {metric}",
            body["tasks"][task]["what"],
            body["tasks"][task]["users"],
            [_row(model, groups) for model, groups in models.items() if "all" in groups],
        )
        for (task, metric), models in found.items()
    ]


def _row(model: str, groups: dict[str, dict[str, Any]]) -> UserRow:
    whole = groups["all"]
    difference, verdict = "", "even"
    if whole["difference"] is not None:
        low, high = whole["difference_low"], whole["difference_high"]
        verdict = "above" if low > 0 else "below" if high < 0 else "even"
        difference = f"{signed(whole['difference'])} ({signed(low)} to {signed(high)})"
    cold, heavy = (figure(groups[name]["value"]) if name in groups else ABSENT for name in ("cold", "heavy"))
    interval = f"{figure(whole['low'])} to {figure(whole['high'])}"
    return UserRow(model, figure(whole["value"]), interval, difference, verdict, cold, heavy)


def _maps(drawn: pl.DataFrame) -> list[MapPanel]:
    found = []
    for column, title in COLOURINGS.items():
        if drawn[column].drop_nulls().n_unique() < 2:
            continue
        for (model,), part in drawn.partition_by("model", as_dict=True, maintain_order=True).items():
            found.append(_map(f"{model}, by {title}", part["x"], part["y"], part[column].to_list()))
    return found


def _map(title: str, x: pl.Series, y: pl.Series, labels: list[str | None]) -> MapPanel:
    common = [name for name, _ in Counter(label for label in labels if label).most_common(len(PALETTE))]
    points = np.stack([x.to_numpy(), y.to_numpy()], axis=1)
    return map_panel(title, f"Scatter of users: {title}", points, labels, sorted(common))
