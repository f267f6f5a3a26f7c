"""Claims that a model adds more for one group of users than for another: a ratio of two ratios.

Users of two groups are others, so their resamples are drawn apart. Where there is a spread over training seeds, the
ratio must exceed two standard errors of that as well.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from graphkit.claims.claim import ClaimList, GainMeasure
from graphkit.claims.metric_claims import Row, find_row
from graphkit.claims.results import Floats, Resampled, Results
from graphkit.claims.verdict import NOT_MEASURED, RATIO, Outcome, side
from graphkit.describe.figures import Figure
from graphkit.describe.observations import UNDECIDED


def judge_gain(
    measure: GainMeasure, claims: ClaimList, results: Results | None, missing: str, targets: Sequence[str]
) -> list[Outcome]:
    """One outcome per target type; ``missing`` says why there are no ``results``."""
    on = f"{measure.more} against {measure.less} users"
    if results is None:
        return [Outcome(on, NOT_MEASURED, missing)]
    if not targets:
        return [Outcome(on, NOT_MEASURED, f"the dataset has no {measure.target} target type")]
    return [_judge(measure, claims, results, target, f"{target}, {on}") for target in targets]


def _judge(measure: GainMeasure, claims: ClaimList, results: Results, target: str, on: str) -> Outcome:
    places = [(target, group, "all") for group in (measure.more, measure.less)]
    names = (measure.model, measure.peer)
    found = [find_row(name, claims, results, place, measure.metric) for place in places for name in names]
    rows = [row for row in found if not isinstance(row, str)]
    lacking = [row for row in found if isinstance(row, str)]
    if lacking:
        return Outcome(on, NOT_MEASURED, "; ".join(dict.fromkeys(lacking)))
    model, peer = (row["model"] for row in rows[:2])
    gains = [_gain(results.resampled(place), model, peer, measure.metric) for place in places]
    more, less = gains
    if more is None or less is None:
        return Outcome(on, NOT_MEASURED, f"{peer} has no {measure.metric} there to add to")
    (value, draws), (other, others) = more, less
    figure = Figure.percentile(value / other, draws / others)
    verdict, note = side(figure, (1.0, math.inf)), _seeds(rows)
    if verdict != UNDECIDED and abs(math.log(figure.value)) <= _seed_errors(rows):
        verdict, note = UNDECIDED, f"{note}; within two standard errors over training seeds"
    values = f"{measure.more} {value:.3f} times {peer}, {measure.less} {other:.3f} times"
    return Outcome(on, verdict, note, RATIO, figure.value, figure.low, figure.high, values)


def _gain(users: Resampled | None, model: str, peer: str, metric: str) -> tuple[float, Floats] | None:
    """The model's mean over the peer's, and over each draw of users [resamples]; None where a peer has none."""
    if users is None or users.mean[peer, metric] <= 0 or not (users.draws[peer, metric] > 0).all():
        return None
    if not (users.draws[model, metric] > 0).all():
        return None
    mean = users.mean[model, metric] / users.mean[peer, metric]
    return mean, users.draws[model, metric] / users.draws[peer, metric]


def _seed_errors(rows: Sequence[Row]) -> float:
    """Two standard errors of the log of the ratio over training seeds; 0 where there is no spread."""
    return 2 * math.sqrt(sum(((row["spread"] or 0.0) / row["value"]) ** 2 / row["num_seeds"] for row in rows))


def _seeds(rows: Sequence[Row]) -> str:
    seeds = max(row["num_seeds"] for row in rows)
    users = " and ".join(f"{rows[place]['num_users']:,}" for place in (0, 2))
    return f"{users} users, {seeds} training seed{'s' if seeds > 1 else ''}"
