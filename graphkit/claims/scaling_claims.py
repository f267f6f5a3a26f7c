"""Claims on how CLUE's test loss falls with computing, from what ``graphkit encoder-scaling`` wrote.

The law is fitted to the runs of the ladder but the largest; a run that is not fitted is held against the 95 %
interval of a prediction at its own computing. A figure is the run's loss over the predicted one, and its interval
that of the prediction, so that 1 is inside where the law holds.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, Final

from graphkit.artefacts import Batch
from graphkit.claims.claim import ScalingMeasure
from graphkit.claims.verdict import EXPONENT, NOT_MEASURED, RATIO, Outcome, side
from graphkit.describe.figures import Figure
from graphkit.describe.observations import FAILS, HOLDS, UNDECIDED
from graphkit.power_law import PowerLaw

_ON: Final = "CLUE's test loss"
_FITTED: Final = "nothing"  # what is held back in the ladder itself

Body = Mapping[str, Any]


def judge_scaling(measure: ScalingMeasure, scaling: Batch | None, missing: str) -> list[Outcome]:
    """An outcome, or one for each factor that was held back; ``missing`` says why there is no ``scaling``."""
    if scaling is None:
        return [Outcome(_ON, NOT_MEASURED, missing)]
    body: Body = json.loads(scaling.path("scaling.json").read_text(encoding="utf-8"))
    if measure.part == "exponent":
        return [_exponent(body)]
    if measure.part == "largest":
        return [_largest(body)]
    beside = [run for run in body["runs"] if run["held_back"] != _FITTED]
    if not beside:
        why = "no factor was held back: run `graphkit encoder-scaling --set encoder_scaling.bottlenecks=true`"
        return [Outcome(_ON, NOT_MEASURED, why)]
    law = PowerLaw(**body["law"] | {"exponent": Figure(**body["law"]["exponent"])})
    return [_held_back(run, law) for run in beside]


def _exponent(body: Body) -> Outcome:
    figure = Figure(**body["exponent"])
    note = f"{body['law']['n']} runs over {body['decades']} decades, R² {body['r_squared']:.3f}, one training seed"
    verdict = side(figure, (0.0, math.inf))
    return Outcome(_ON, verdict, note, EXPONENT, figure.value, figure.low, figure.high)


def _largest(body: Body) -> Outcome:
    loss, predicted = body["largest"]["test_loss"], Figure(**body["largest"]["predicted"])
    figure = _over(loss, predicted)
    inside = HOLDS if body["exponent"]["low"] > 0 else UNDECIDED  # where nothing is seen to fall, nothing goes on
    verdict = inside if predicted.holds(loss) else FAILS
    return _outcome(f"{_ON}, the largest run", verdict, figure, loss, predicted)


def _held_back(run: Body, law: PowerLaw) -> Outcome:
    predicted = law.predict(run["pf_days"])
    figure = _over(run["test_loss"], predicted)
    on = f"{_ON}, {run['held_back']} held back"
    return _outcome(on, side(figure, (1.0, math.inf)), figure, run["test_loss"], predicted)


def _over(loss: float, predicted: Figure) -> Figure:
    """A run's loss over the predicted one, with the ends of the prediction."""
    return Figure(loss / predicted.value, loss / predicted.high, loss / predicted.low)


def _outcome(on: str, verdict: str, figure: Figure, loss: float, predicted: Figure) -> Outcome:
    ends = f"{predicted.value:.3f} ({predicted.low:.3f} to {predicted.high:.3f})"
    note = "one run; the interval is that of a prediction by the law of the other runs"
    values = f"loss {loss:.3f}, predicted {ends}"
    return Outcome(on, verdict, note, RATIO, figure.value, figure.low, figure.high, values)
