"""An evaluation batch as the page's parts read it: which models are of what kind, and the figure of any cell."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, NamedTuple

from graphkit.artefacts import Batch

Row = dict[str, Any]
ALL: Final = "all"
#: The trained rows of the paper's Tables 2 to 4; any other trained row is an ablation of ours.
_MAIN: Final = ("HGNN", "HGNN-w-users", "2T")
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
    """``results.json`` and ``examples.json`` of one batch."""

    body: Row
    examples: list[Row]

    @classmethod
    def open(cls, batch: Batch) -> EvaluationData:
        body, examples = (
            json.loads(batch.path(name).read_text(encoding="utf-8")) for name in ("results.json", "examples.json")
        )
        return cls(body, examples)

    @property
    def ours(self) -> str:
        return str(self.body["ours"])

    @property
    def peers(self) -> list[str]:
        """Models that graphkit does not train, in the table's order."""
        return [model for model in self.body["models"] if model not in (*self.body["trained"], self.ours)]

    @property
    def learned(self) -> list[str]:
        """The trained models of the paper's Tables 2 to 4, ours last."""
        return [model for model in self.body["models"] if model in _MAIN and model != self.ours] + [self.ours]

    @property
    def ablations(self) -> list[str]:
        """Trained variants of ours."""
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
        names = ("peer", "target_type", "group", "metric")
        return {tuple(row[name] for name in names): row for row in self.body["comparisons"]}

    def difference(self, other: str, target_type: str, group: str, metric: str) -> Row | None:
        """Ours minus ``other``, None where they were not compared."""
        return self._differences.get((other, target_type, group, metric))

    def best_peer(self, target_type: str, group: str, metric: str) -> str | None:
        """The peer with the highest figure in one cell."""
        rows = [row for peer in self.peers if (row := self.row(peer, target_type, group, metric)) is not None]
        return None if not rows else str(max(rows, key=lambda row: row["value"])["model"])
