"""The variants in the form of the paper's Table 1: the sparse type, what each loses or gains; cold users, too."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, NamedTuple

from graphkit.report.evaluation_data import EvaluationData, Row
from graphkit.report.formatting import ABSENT, figure, signed

#: The paper's columns; its MRR and coverage look at the first 100.
METRICS: Final = ("HR@10", "MRR@100", "Coverage@100")
_GROUPS: Final = ("warm", "cold")


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


def ablation_tables(data: EvaluationData) -> list[AblationTable]:
    """A table for warm and one for cold users, as far as any were evaluated; none where no variant was trained."""
    found = (_table(data, group) for group in _GROUPS) if data.ablations else ()
    return [table for table in found if table is not None]


def _table(data: EvaluationData, group: str) -> AblationTable | None:
    target, models = data.body["sparse_type"], data.body["models"]
    first = data.row(data.base, target, group, METRICS[0])
    if first is None:
        return None
    return AblationTable(
        f"{target}, {group} users",
        data.base,
        first["num_users"],
        [
            (name, models[name], [_change(name, (target, group, metric), data) for metric in METRICS])
            for name in (data.base, *data.ablations)
        ],
    )


def _change(name: str, place: tuple[str, str, str], data: EvaluationData) -> Change:
    """Of a model in one ``place``: target type, user group and metric."""
    row, base = (data.row(model, *place) for model in (name, data.base))
    if row is None or base is None:
        return Change(ABSENT, "", "", "", "even")
    spread = "" if row["spread"] is None else f"± {figure(row['spread'])}, {row['num_seeds']} seeds"
    if name == data.base:
        return Change(figure(row["value"]), spread, "", "", "even")
    text = signed(row["value"] - base["value"])
    compared = data.difference(name, *place, of=data.base)
    return Change(figure(row["value"]), spread, text, *_interval(compared))


def _interval(row: Row | None) -> tuple[str, str]:
    """The interval of variant minus base, and which side of 0 it is on; ``row`` is the base minus the variant."""
    if row is None:
        return "", "even"
    low, high = -row["high"], -row["low"]
    verdict = "above" if low > 0 else "below" if high < 0 else "even"
    return f"{signed(low)} to {signed(high)}", verdict
