"""Claims about user vectors: a row against others in a task of the downstream laboratory.

The figure is the paired difference of the two, over the same resamples of users.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

import polars as pl

from graphkit.artefacts import Batch
from graphkit.claims.claim import ClaimList, UsersMeasure
from graphkit.claims.verdict import DIFFERENCE, NOT_MEASURED, Outcome, side, worst
from graphkit.describe.figures import Figure
from graphkit.downstream.files import COMPARISONS_FILE, RESULTS_JSON

Row = dict[str, Any]
_PLACE: Final = ("task", "group", "metric", "model")
_EARLIER: Final = "the evaluation of user vectors has no comparisons of its rows: run `graphkit evaluate-users` again"


@dataclass(frozen=True)
class Laboratory:
    """A ``downstream`` batch, opened."""

    batch: Batch

    @cached_property
    def body(self) -> Row:
        """``results.json``."""
        found: Row = json.loads(self.batch.path(RESULTS_JSON).read_text(encoding="utf-8"))
        return found

    @cached_property
    def _rows(self) -> dict[tuple[str, ...], Row]:
        return {_key(row): row for row in self.body["results"]}

    @property
    def compares(self) -> bool:
        """Whether it was written since any two rows are compared."""
        return COMPARISONS_FILE in self.batch.manifest.files

    @cached_property
    def _leads(self) -> dict[tuple[str, ...], Figure]:
        """By place, model and peer, either way round."""
        found = {}
        for row in pl.read_parquet(self.batch.path(COMPARISONS_FILE)).iter_rows(named=True):
            *place, model = _key(row)
            value, low, high = (row[name] for name in ("value", "low", "high"))
            found[*place, model, row["peer"]] = Figure(value, low, high)
            found[*place, row["peer"], model] = Figure(-value, -high, -low)
        return found

    def row(self, task: str, group: str, metric: str, model: str) -> Row | None:
        """One row of the table, None where there is none."""
        return self._rows.get((task, group, metric, model))

    def lead(self, row: Row, peer: Row) -> Figure:
        """The one's figure minus that of another row of the same place, which has an interval."""
        return self._leads[*_key(row), peer["model"]]


def _key(row: Row) -> tuple[str, ...]:
    return tuple(row[name] for name in _PLACE)


def judge_users(measure: UsersMeasure, claims: ClaimList, laboratory: Laboratory | None, missing: str) -> Outcome:
    """What the laboratory says; ``missing`` says why there is none."""
    against = f", against {measure.beyond} ones" if measure.beyond else ""
    on = f"{measure.task}, {measure.metric}, {measure.group} users{against}"
    if laboratory is None:
        return Outcome(on, NOT_MEASURED, missing)
    if not laboratory.compares:
        return Outcome(on, NOT_MEASURED, _EARLIER)
    if measure.task in laboratory.body["left_out"]:
        return Outcome(on, NOT_MEASURED, laboratory.body["left_out"][measure.task])
    if measure.task not in laboratory.body["tasks"]:
        return Outcome(on, NOT_MEASURED, f"{measure.task} was not among its tasks: run `graphkit evaluate-users`")
    groups = [measure.group, *([measure.beyond] if measure.beyond else [])]
    found = [[_row(name, claims, laboratory, measure, group) for group in groups]
             for name in (measure.model, *measure.peers)]  # fmt: skip
    lacking = [row for rows in found for row in rows if isinstance(row, str)]
    if lacking:
        return Outcome(on, NOT_MEASURED, "; ".join(dict.fromkeys(lacking)))
    model, *peers = [[row for row in rows if not isinstance(row, str)] for rows in found]
    return worst([_judge(measure, laboratory, model, peer, on) for peer in peers], measure.claimed)


def _row(name: str, claims: ClaimList, laboratory: Laboratory, measure: UsersMeasure, group: str) -> Row | str:
    """The row of what a paper calls ``name``, or why there is none."""
    known = claims.rows[name]
    there = (laboratory.row(measure.task, group, measure.metric, model) for model in known.names)
    row = next((row for row in there if row is not None), None)
    if row is None:
        where = f"{measure.task}, {measure.metric}, {group} users"
        return f"{known.names[-1]} is not in the laboratory's table ({where}): run `{known.made_by}`"
    if row["low"] is None:
        return f"too few users for an interval ({measure.task}, {measure.metric}, {group} users)"
    return row


def _judge(
    measure: UsersMeasure, laboratory: Laboratory, model: Sequence[Row], peer: Sequence[Row], on: str
) -> Outcome:
    """``model`` and ``peer``: the rows of the group, and of the one that it is held against if any."""
    leads = [laboratory.lead(one, other) for one, other in zip(model, peer, strict=True)]
    figure = leads[0] if measure.beyond is None else _apart(*leads)
    users = " and ".join(f"{row['num_users']:,}" for row in model)
    note = f"{users} users, one training of an encoder"
    values = ", ".join(f"{row['model']} {row['value']:.3f}" for pair in zip(model, peer, strict=True) for row in pair)
    return Outcome(on, side(figure, measure.region), note, DIFFERENCE, figure.value, figure.low, figure.high, values)


def _apart(one: Figure, other: Figure) -> Figure:
    """The difference of two figures of different users, independent of one another."""
    value = one.value - other.value
    below, above = (
        math.hypot(one.value - one.low, other.high - other.value),
        math.hypot(one.high - one.value, other.value - other.low),
    )
    return Figure(value, value - below, value + above)
