"""The ablation table in the form of the paper's Table 1: warm users of the sparse type, what each loses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from graphkit.report.evaluation_data import EvaluationData, Row
from graphkit.report.formatting import ABSENT, figure, signed

#: The paper's columns; its MRR and coverage look at the first 100.
METRICS: Final = ("HR@10", "MRR@100", "Coverage@100")
_GROUP: Final = "warm"


class Change(NamedTuple):
    """A variant's figure, its spread over seeds, and the difference from the base with its interval."""

    value: str
    spread: str
    difference: str
    interval: str
    verdict: str


@dataclass(frozen=True)
class AblationTable:
    """One row per variant, the ``base`` they are variants of first; a row is (name, what it is, its figures)."""

    title: str
    base: str
    num_users: int
    rows: list[tuple[str, str, list[Change]]]


def ablation_table(data: EvaluationData) -> AblationTable | None:
    """The table, None where no variant was trained or no warm user was evaluated."""
    target = data.body["sparse_type"]
    first = data.row(data.base, target, _GROUP, METRICS[0])
    if not data.ablations or first is None:
        return None
    models = data.body["models"]
    return AblationTable(
        f"{target}, {_GROUP} users",
        data.base,
        first["num_users"],
        [
            (name, models[name], [_change(name, target, metric, data) for metric in METRICS])
            for name in (data.base, *data.ablations)
        ],
    )


def _change(name: str, target: str, metric: str, data: EvaluationData) -> Change:
    row, base = (data.row(model, target, _GROUP, metric) for model in (name, data.base))
    if row is None or base is None:
        return Change(ABSENT, "", "", "", "even")
    spread = "" if row["spread"] is None else f"± {figure(row['spread'])}, {row['num_seeds']} seeds"
    if name == data.base:
        return Change(figure(row["value"]), spread, "", "", "even")
    text = signed(row["value"] - base["value"])
    compared = data.difference(name, target, _GROUP, metric, of=data.base)
    return Change(figure(row["value"]), spread, text, *_interval(compared))


def _interval(row: Row | None) -> tuple[str, str]:
    """The interval of variant minus base, and which side of 0 it is on; ``row`` is the base minus the variant."""
    if row is None:
        return "", "even"
    low, high = -row["high"], -row["low"]
    verdict = "above" if low > 0 else "below" if high < 0 else "even"
    return f"{signed(low)} to {signed(high)}", verdict
