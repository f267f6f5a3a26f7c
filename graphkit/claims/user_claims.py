"""Claims about user vectors: a row against others in a task of the downstream laboratory.

The laboratory keeps each row's paired difference from the mean embeddings. Against those that is the figure; of two
other rows it is the difference of the two, whose interval ends where theirs do at worst: no narrower than one of the
two rows paired, whatever they share.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from graphkit.artefacts import Batch
from graphkit.claims.claim import ClaimList, UsersMeasure
from graphkit.claims.verdict import DIFFERENCE, NOT_MEASURED, Outcome, side, worst
from graphkit.describe.figures import Figure
from graphkit.downstream.files import MEAN, RESULTS_JSON

Row = dict[str, Any]
_UNPAIRED: Final = "from both rows' differences to the mean embeddings: wider than a paired interval of the two"


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
        names = ("task", "group", "metric", "model")
        return {tuple(row[name] for name in names): row for row in self.body["results"]}

    def row(self, task: str, group: str, metric: str, model: str) -> Row | None:
        """One row of the table, None where there is none."""
        return self._rows.get((task, group, metric, model))


def judge_users(measure: UsersMeasure, claims: ClaimList, laboratory: Laboratory | None, missing: str) -> Outcome:
    """What the laboratory says; ``missing`` says why there is none."""
    against = f", against {measure.beyond} ones" if measure.beyond else ""
    on = f"{measure.task}, {measure.metric}, {measure.group} users{against}"
    if laboratory is None:
        return Outcome(on, NOT_MEASURED, missing)
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
    return worst([_judge(measure, model, peer, on) for peer in peers], measure.claimed)


def _row(name: str, claims: ClaimList, laboratory: Laboratory, measure: UsersMeasure, group: str) -> Row | str:
    """The row of what a paper calls ``name``, or why there is none."""
    known = claims.rows[name]
    there = (laboratory.row(measure.task, group, measure.metric, model) for model in known.names)
    row = next((row for row in there if row is not None), None)
    if row is None:
        where = f"{measure.task}, {measure.metric}, {group} users"
        return f"{known.names[-1]} is not in the laboratory's table ({where}): run `{known.made_by}`"
    if row["model"] != MEAN and row["difference_low"] is None:
        return f"{known.names[-1]} has no difference from the mean embeddings in {measure.task}"
    return row


def _judge(measure: UsersMeasure, model: Sequence[Row], peer: Sequence[Row], on: str) -> Outcome:
    """``model`` and ``peer``: the rows of the group, and of the one that it is held against if any."""
    leads = [_lead(one, other) for one, other in zip(model, peer, strict=True)]
    figure = leads[0] if measure.beyond is None else _apart(*leads)
    users = " and ".join(f"{row['num_users']:,}" for row in model)
    note = f"{users} users, one training of an encoder"
    if MEAN not in (model[0]["model"], peer[0]["model"]):
        note = f"{note}; {_UNPAIRED}"
    values = ", ".join(f"{row['model']} {row['value']:.3f}" for pair in zip(model, peer, strict=True) for row in pair)
    return Outcome(on, side(figure, measure.region), note, DIFFERENCE, figure.value, figure.low, figure.high, values)


def _lead(row: Row, other: Row) -> Figure:
    """The one's figure minus the other's."""
    (value, low, high), (less, least, most) = map(_from_mean, (row, other))
    return Figure(value - less, low - most, high - least)


def _from_mean(row: Row) -> tuple[float, float, float]:
    """The difference from the mean embeddings with its ends."""
    return (0, 0, 0) if row["model"] == MEAN else (row["difference"], row["difference_low"], row["difference_high"])


def _apart(one: Figure, other: Figure) -> Figure:
    """The difference of two figures of different users, independent of one another."""
    value = one.value - other.value
    below, above = (
        math.hypot(one.value - one.low, other.high - other.value),
        math.hypot(one.high - one.value, other.value - other.low),
    )
    return Figure(value, value - below, value + above)
