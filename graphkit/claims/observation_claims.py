"""Claims of the paper's section 3, from what ``graphkit describe dataset`` measures of the sparse type."""

from __future__ import annotations

from graphkit.claims.claim import ObservationMeasure
from graphkit.claims.verdict import NOT_MEASURED, Outcome
from graphkit.describe.figures import NotMeasurable
from graphkit.describe.observations import Part, observe
from graphkit.describe.target import TargetDescription


def judge_observation(measure: ObservationMeasure, found: TargetDescription) -> list[Outcome]:
    """An outcome per part of the observation that the claim is about: one for each other type, where it is about
    those."""
    observation = next(o for o in observe(found, planted=False) if o.number == measure.number)
    parts = [part for part in observation.parts if measure.part in part.name]
    if not parts:
        why = next((p.figure.not_measurable for p in observation.parts if isinstance(p.figure, NotMeasurable)), None)
        return [Outcome(found.target, NOT_MEASURED, why or f"the dataset has no such signal ({measure.part})")]
    return [_outcome(part, found.target) for part in parts]


def _outcome(part: Part, target: str) -> Outcome:
    on = f"{target}: {part.name}"
    if isinstance(part.figure, NotMeasurable):
        return Outcome(on, NOT_MEASURED, part.figure.not_measurable)
    figure = part.figure
    return Outcome(on, part.verdict, "", part.unit, figure.value, figure.low, figure.high)
