"""An evaluation batch as the page's parts read it: which models are of what kind, and the figure of any cell."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

import polars as pl

from graphkit.artefacts import Batch

Row = dict[str, Any]
ALL: Final = "all"
#: What ablations leave something out of.
_BASE: Final = "2T-HGNN"
#: The trained rows of the paper's Tables 2 to 4, and the edges that ours adds; any other trained row is an ablation.
_MAIN: Final = ("HGNN", "HGNN-w-users", "2T", _BASE, "Edge weights")
TIERS: Final = ("tier 1", "tier 2", "tier 3", "tier 4", "tier 5", "new")


class Cell(NamedTuple):
    """One target type (or ``all``) and user group."""

    target_type: str
    group: str
    num_users: int

    @property
    def title(self) -> str:
        name = "all target types" if self.target_type == ALL else self.target_type
        return f"{name}, {self.group} users"


@dataclass(frozen=True)
class EvaluationData:
    """``results.json``, ``examples.json`` and, of every pair of models, ``comparisons.parquet`` of one batch."""

    body: Row
    examples: list[Row]
    comparisons: pl.DataFrame

    @classmethod
    def open(cls, batch: Batch) -> EvaluationData:
        body, examples = (
            json.loads(batch.path(name).read_text(encoding="utf-8")) for name in ("results.json", "examples.json")
        )
        return cls(body, examples, pl.read_parquet(batch.path("comparisons.parquet")))

    @property
    def ours(self) -> str:
        return str(self.body["ours"])

    @property
    def base(self) -> str:
        """The model that ablations are variants of: 2T-HGNN, or ours where that is not in the table."""
        return _BASE if _BASE in self.body["models"] else self.ours

    @property
    def peers(self) -> list[str]:
        """Models that graphkit does not train, in the table's order."""
        return [model for model in self.body["models"] if model not in (*self.body["trained"], self.ours)]

    @property
    def learned(self) -> list[str]:
        """The trained models of the paper's Tables 2 to 4, the edges, and ours last."""
        return [model for model in self.body["models"] if model in _MAIN and model != self.ours] + [self.ours]

    @property
    def ablations(self) -> list[str]:
        """Trained variants of the base."""
        main = {*self.peers, *self.learned}
        return [model for model in self.body["models"] if model not in main]

    @property
    def targets(self) -> list[str]:
        return list(self.body["counts"])

    @cached_property
    def metrics(self) -> list[str]:
        """The metrics of the whole catalogue, in the file's order."""
        return list(dict.fromkeys(row["metric"] for row in self.body["results"] if row["segment"] == ALL))

    @cached_property
    def cells(self) -> list[Cell]:
        """Warm and cold users where they are told apart, of each type, then pooled where there are several."""
        rows = [row for row in self.body["results"] if row["segment"] == ALL]
        groups = {row["group"] for row in rows}
        shown = groups - {ALL} or groups
        found = {(row["target_type"], row["group"]): row["num_users"] for row in rows if row["group"] in shown}
        one = len(self.targets) == 1
        return [Cell(*place, users) for place, users in found.items() if not (one and place[0] == ALL)]

    @cached_property
    def everyone(self) -> str:
        """The user group of charts that do not tell groups apart: all users, or the only group there is."""
        groups = list(dict.fromkeys(row["group"] for row in self.body["results"]))
        return ALL if ALL in groups else groups[0]

    @cached_property
    def _rows(self) -> dict[tuple[str, ...], Row]:
        names = ("model", "target_type", "group", "segment", "metric")
        return {tuple(row[name] for name in names): row for row in self.body["results"]}

    def row(self, model: str, target_type: str, group: str, metric: str, segment: str = ALL) -> Row | None:
        """One row of the result table, None where there is none."""
        return self._rows.get((model, target_type, group, segment, metric))

    @cached_property
    def _differences(self) -> dict[tuple[str, ...], Row]:
        names = ("model", "peer", "target_type", "group", "metric")
        rows = self.comparisons.filter(pl.col("model").is_in([self.ours, self.base])).to_dicts()
        return {tuple(row[name] for name in names): row for row in rows}

    def difference(self, other: str, target_type: str, group: str, metric: str, of: str | None = None) -> Row | None:
        """Ours, or the base if ``of`` is it, minus ``other``; None where they were not compared."""
        return self._differences.get((of or self.ours, other, target_type, group, metric))

    def best_peer(self, target_type: str, group: str, metric: str) -> str | None:
        """The peer with the highest figure in one cell."""
        rows = [row for peer in self.peers if (row := self.row(peer, target_type, group, metric)) is not None]
        return None if not rows else str(max(rows, key=lambda row: row["value"])["model"])
