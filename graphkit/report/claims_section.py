"""The page's table of the papers' claims: every one, those that fail here too."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from graphkit.claims.tables import RULE, outcome_text, tally
from graphkit.claims.verdict import Judged
from graphkit.describe.observations import FAILS, HOLDS, PLANTED, UNDECIDED

#: Stands before a verdict, so that colour is not all that tells them apart.
_MARKS: Final = {HOLDS: "▲", FAILS: "▼", UNDECIDED: "·"}
_CLASSES: Final = {HOLDS: "above", FAILS: "below", PLANTED: "planted"}


class ClaimRow(NamedTuple):
    """One claim on one part of the data."""

    statement: str
    where: str
    paper: str
    measured: str
    on: str
    note: str
    verdict: str
    css: str


@dataclass(frozen=True)
class ClaimsSection:
    """Everything the template shows of the claims."""

    dataset: str
    rule: str
    tally: list[tuple[str, int]]
    rows: list[ClaimRow]


def claims_section(judged: Sequence[Judged], dataset: str) -> ClaimsSection:
    """What the page shows of the judged claims."""
    return ClaimsSection(dataset, RULE, [(name, n) for name, n in tally(judged).items() if n], [*map(_row, judged)])


def _row(found: Judged) -> ClaimRow:
    claim, outcome = found.claim, found.outcome
    verdict = f"{_MARKS[outcome.verdict]} {outcome.verdict}" if outcome.verdict in _MARKS else outcome.verdict
    text = outcome_text(outcome)
    css = _CLASSES.get(outcome.verdict, "soft" if not text else "")
    return ClaimRow(claim.statement, claim.where, claim.paper, text, outcome.on, outcome.note, verdict, css)
