"""Judged claims as text and as plain values: what the terminal, the page and ``--json`` show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final

from graphkit.claims.verdict import DIFFERENCE, RATIO, TIME_SAVED, VERDICTS, Judged, Outcome
from graphkit.describe.figures import Figure
from graphkit.describe.tables import figure_text

#: Stands before the table, and on the page.
RULE: Final = (
    "The verdict is on the direction alone: a claim holds where the whole 95 % interval is on the claimed side. "
    "The paper's magnitude stands beside the measured one."
)
_MINUS: Final = "\N{MINUS SIGN}"


def outcome_text(outcome: Outcome) -> str:
    """``+52 % (+40 to +65); 2T-HGNN 0.353, 2T 0.231``; empty where nothing was measured."""
    if outcome.value is None:
        return ""
    return "; ".join(filter(None, (_figure_text(outcome), outcome.values)))


def _figure_text(found: Outcome) -> str:
    assert found.value is not None  # narrows for mypy
    if found.unit not in (RATIO, TIME_SAVED, DIFFERENCE):
        assert found.low is not None  # observations have an interval or are not measured
        assert found.high is not None
        return figure_text(Figure(found.value, found.low, found.high), found.unit)
    shift = 1 if found.unit == RATIO else 0
    write = _points if found.unit == DIFFERENCE else _percent
    text = write(found.value - shift) + ("" if found.unit == DIFFERENCE else "\N{NO-BREAK SPACE}%")
    if found.low is None or found.high is None:
        return text
    return f"{text} ({write(found.low - shift)} to {write(found.high - shift)})"


def _percent(share: float) -> str:
    return _signed(f"{100 * share:+.1f}" if abs(share) < 0.1 else f"{100 * share:+.0f}")


def _points(value: float) -> str:
    return _signed(f"{value:+.3f}")


def _signed(text: str) -> str:
    return text.replace("-", _MINUS)


def claim_rows(judged: Sequence[Judged]) -> list[dict[str, str]]:
    """A row of text per claim and part of the data, narrow enough for a terminal."""
    return [
        {
            "claim": f"{row.claim.statement}\n({row.claim.where})",
            "paper": row.claim.paper,
            "measured": _lines(outcome_text(row.outcome), row.outcome.on, row.outcome.note),
            "verdict": row.outcome.verdict,
        }
        for row in judged
    ]


def _lines(*parts: str) -> str:
    return "\n".join(filter(None, parts))


def claim_values(judged: Sequence[Judged]) -> list[dict[str, Any]]:
    """A row of plain values per claim and part of the data, for scripts."""
    return [
        {
            "id": row.claim.id,
            "where": row.claim.where,
            "statement": row.claim.statement,
            "paper": row.claim.paper,
            "dataset": row.dataset,
            **vars(row.outcome),
        }
        for row in judged
    ]


def tally(judged: Sequence[Judged]) -> dict[str, int]:
    """How many claims and parts have each verdict, in the order of ``VERDICTS``."""
    count = Counter(row.outcome.verdict for row in judged)
    return {verdict: count[verdict] for verdict in VERDICTS}
