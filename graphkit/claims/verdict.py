"""What can be said of a claim from a figure and its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

from graphkit.claims.claim import Claim
from graphkit.describe.figures import Figure
from graphkit.describe.observations import FAILS, HOLDS, PLANTED, UNDECIDED

#: No dataset can test it.
UNTESTED: Final = "untested"
#: This workspace lacks what it takes.
NOT_MEASURED: Final = "not measured"
#: In the order in which they are counted.
VERDICTS: Final = (HOLDS, FAILS, UNDECIDED, PLANTED, NOT_MEASURED, UNTESTED)

#: Units: the model's figure over the peer's, the model's minus the peer's, and a share of time.
RATIO: Final = "ratio"
DIFFERENCE: Final = "difference"
TIME_SAVED: Final = "share of the time"
#: Of a power law.
EXPONENT: Final = "exponent"

_WORST_FIRST: Final = (FAILS, UNDECIDED, HOLDS)
_SIDES: Final = {
    HOLDS: "the interval is on the claimed side",
    FAILS: "the interval is on the other side",
    UNDECIDED: "the interval is on neither side",
}


@dataclass(frozen=True)
class Outcome:
    """What was found of a claim ``on`` a part of the data; ``low`` and ``high`` are None without an interval.

    ``values`` are the two figures compared, in words.
    """

    on: str
    verdict: str
    note: str = ""
    unit: str = ""
    value: float | None = None
    low: float | None = None
    high: float | None = None
    values: str = ""


@dataclass(frozen=True)
class Judged:
    """A claim and what was found of it on one dataset."""

    claim: Claim
    dataset: str
    outcome: Outcome


def side(figure: Figure, region: tuple[float, float]) -> str:
    """``holds`` where the whole interval is inside ``region`` (its ends excluded), ``does not hold`` where it is
    outside altogether, else ``undecided``."""
    floor, ceiling = region
    if figure.low > floor and figure.high < ceiling:
        return HOLDS
    return FAILS if figure.high < floor or figure.low > ceiling else UNDECIDED


def worst(found: Sequence[Outcome], claimed: str) -> Outcome:
    """Of the outcomes of one model against several peers the worst: a claim about all is worth no more."""
    up = -1 if claimed == "below" else 1
    return min(found, key=lambda outcome: (_WORST_FIRST.index(outcome.verdict), up * (outcome.value or 0)))


def two_errors(values: list[float]) -> float | None:
    """Two standard errors of the mean of ``values``, one per training seed; None for less than two.

    With three seeds this is a rule, not a 95 % interval: it holds the true mean in about four of five cases.
    """
    if len(values) < 2:
        return None
    mean = sum(values) / len(values)
    return 2 * math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values))


def as_planted(outcome: Outcome) -> Outcome:
    """The outcome on data that were generated to show the claim: no finding, whatever the figure says."""
    if outcome.verdict not in _SIDES:
        return outcome
    return replace(outcome, verdict=PLANTED, note="; ".join(filter(None, (_SIDES[outcome.verdict], outcome.note))))
