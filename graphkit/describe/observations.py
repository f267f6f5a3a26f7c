"""The paper's four observations (section 3), each beside what this dataset shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from graphkit.describe.concentration import Concentration
from graphkit.describe.figures import Figure, NotMeasurable
from graphkit.describe.pairs import Gap
from graphkit.describe.target import TargetDescription
from graphkit.describe.weak_signals import PAPER_ODDS, WeakSignals

HOLDS: Final = "holds"
FAILS: Final = "does not hold"
UNDECIDED: Final = "undecided"
MIXED: Final = "mixed"
PLANTED: Final = "planted"
NOT_MEASURABLE: Final = "not measurable"

SHARE: Final = "share"
COSINE: Final = "difference of mean cosines"
ODDS: Final = "odds ratio"


@dataclass(frozen=True)
class Part:
    """One measured figure of an observation; ``paper`` is what the paper found."""

    name: str
    unit: str
    figure: Figure | NotMeasurable
    paper: str
    verdict: str


@dataclass(frozen=True)
class Observation:
    """An observation of the paper on one target type.

    ``verdict`` is that of its measured parts where they agree, ``mixed`` where not, and ``planted`` where the
    data were generated to show it, so that it is no finding.
    """

    number: int
    target: str
    statement: str
    criterion: str
    parts: list[Part]
    verdict: str


def observe(found: TargetDescription, planted: bool) -> list[Observation]:
    """The four observations on one target type, from what was measured of it."""
    target = found.target
    named = (
        (
            f"{target} listening is mostly by power users and of popular titles",
            "the share is above one half",
            [
                _share("busiest 25 % of users", found.users, "75 %"),
                _share("top 20 % of titles", found.titles, "over 80 %"),
            ],
        ),
        (
            f"taste in other types and content tell about {target} listening",
            "the mean cosine is above that of random pairs",
            [
                _difference("taste of users who share a title", found.taste),
                _difference("text of titles with a shared user", found.text),
            ],
        ),
        (
            f"{target} titles joined only through another type are alike",
            "the mean cosine is above that of random pairs which no user has both of",
            _through(found.through),
        ),
        (f"weak signals announce {target} listening", "the odds ratio is above 1", _odds(found.weak)),
    )
    return [
        Observation(number, target, statement, criterion, parts, _verdict(parts, planted))
        for number, (statement, criterion, parts) in enumerate(named, start=1)
    ]


def _part(name: str, unit: str, figure: Figure | NotMeasurable, above: float, paper: str) -> Part:
    """The part holds where its whole interval is above ``above``."""
    if isinstance(figure, NotMeasurable):
        verdict = NOT_MEASURABLE
    elif figure.low > above:
        verdict = HOLDS
    else:
        verdict = FAILS if figure.high < above else UNDECIDED
    return Part(name, unit, figure, paper, verdict)


def _share(name: str, found: Concentration | NotMeasurable, paper: str) -> Part:
    if isinstance(found, NotMeasurable):
        return _part(name, SHARE, found, 0.5, paper)
    return _part(f"{found.amount} of the {name}", SHARE, found.top_share, 0.5, paper)


def _difference(name: str, gap: Gap | NotMeasurable) -> Part:
    return _part(name, COSINE, gap if isinstance(gap, NotMeasurable) else gap.difference, 0.0, "above random")


def _through(through: Mapping[str, Gap | NotMeasurable] | NotMeasurable) -> list[Part]:
    if isinstance(through, NotMeasurable):
        return [_difference("text of titles joined through another type", through)]
    return [_difference(f"text of titles joined through {other}", gap) for other, gap in through.items()]


def _odds(weak: WeakSignals | NotMeasurable) -> list[Part]:
    odds = weak if isinstance(weak, NotMeasurable) else weak.odds
    if isinstance(odds, NotMeasurable):
        return [_part("odds of a stream", ODDS, odds, 1.0, "above 1")]
    return [
        _part(
            f"odds of a stream per {found.signal}",
            ODDS,
            found.one_more,
            1.0,
            f"{PAPER_ODDS[found.signal]:.2f}" if found.signal in PAPER_ODDS else "above 1",
        )
        for found in odds
    ]


def _verdict(parts: Sequence[Part], planted: bool) -> str:
    found = {part.verdict for part in parts} - {NOT_MEASURABLE}
    if not found:
        return NOT_MEASURABLE
    if planted:
        return PLANTED
    return found.pop() if len(found) == 1 else MIXED
