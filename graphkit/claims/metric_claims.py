"""Claims about a metric: a model against its peers, on the users of one target type and group.

HR@10 and MRR@100 are compared by the ratio of their means, with its paired bootstrap interval over users. Coverage
is one figure of all lists together: a bootstrap of users would draw fewer distinct lists than there are and put it
too low, so it is compared by its spread over training seeds. Where a metric of users has a spread over seeds, the
difference must exceed two standard errors of that as well.
"""

from __future__ import annotations

import math
from typing import Any, Final, NamedTuple

from graphkit.claims.claim import ClaimList, MetricMeasure
from graphkit.claims.results import Place, Resampled, Results
from graphkit.claims.verdict import DIFFERENCE, NOT_MEASURED, RATIO, Outcome, side, worst
from graphkit.describe.figures import Figure
from graphkit.describe.observations import UNDECIDED

#: Training seeds below which a spread is not trusted.
MIN_SEEDS: Final = 3
#: "Above" and "below" as a region of the difference; a share of nothing has none.
_AS_DIFFERENCE: Final = {(1, math.inf): (0, math.inf), (-math.inf, 1): (-math.inf, 0)}

Row = dict[str, Any]


class Pair(NamedTuple):
    """A model and a peer in one place, with their rows of the result table."""

    model: Row
    peer: Row
    region: tuple[float, float]  # of the ratio

    @property
    def seed_errors(self) -> float:
        """Two standard errors of the difference over training seeds; 0 where there is no spread."""
        parts = [(row["spread"] or 0.0) ** 2 / row["num_seeds"] for row in (self.model, self.peer)]
        return 2 * math.sqrt(sum(parts))

    @property
    def values(self) -> str:
        return ", ".join(f"{row['model']} {row['value']:.3f}" for row in (self.model, self.peer))

    def edges(self) -> list[float]:
        """Where, in the model's figure minus the peer's, the claimed region begins or ends."""
        return [(edge - 1) * self.peer["value"] for edge in self.region if math.isfinite(edge)]


def judge_metric(
    measure: MetricMeasure, claims: ClaimList, results: Results | None, missing: str, targets: list[str]
) -> list[Outcome]:
    """One outcome per target type; ``missing`` says why there are no ``results``."""
    if results is None:
        return [Outcome(_group(measure), NOT_MEASURED, missing)]
    if not targets:
        return [Outcome(_group(measure), NOT_MEASURED, f"the dataset has no {measure.target} target type")]
    return [_judge(measure, claims, results, target) for target in targets]


def _judge(measure: MetricMeasure, claims: ClaimList, results: Results, target: str) -> Outcome:
    place, on = (target, measure.group, measure.segment), f"{target}, {_group(measure)}"
    rows = [find_row(name, claims, results, place, measure.metric) for name in (measure.model, *measure.peers)]
    lacking = [row for row in rows if isinstance(row, str)]
    if lacking:
        return Outcome(on, NOT_MEASURED, "; ".join(dict.fromkeys(lacking)))
    model, *peers = [row for row in rows if not isinstance(row, str)]
    pairs = [Pair(model, peer, measure.region) for peer in peers]
    if measure.metric == "Coverage@100":
        found = [_by_seeds(pair, on, results.body["trained"]) for pair in pairs]
    else:
        users = results.resampled(place)
        if users is None:
            return Outcome(on, NOT_MEASURED, "nobody has a test item there")
        found = [_by_users(pair, users, measure.metric, on) for pair in pairs]
    return worst(found, measure.claimed)


def _group(measure: MetricMeasure) -> str:
    return f"{measure.group} users" + (", long tail" if measure.segment == "tail" else "")


def find_row(name: str, claims: ClaimList, results: Results, place: Place, metric: str) -> Row | str:
    """The row of the model that a paper calls ``name`` in one place, or why there is none."""
    known = claims.models[name]
    for model in known.names:
        if (row := results.row(model, place, metric)) is not None:
            return row
    for model in known.names:
        if model in results.body["left_out"]:
            return f"{model} was left out: {results.body['left_out'][model]}"
    if any(model in results.body["models"] for model in known.names):
        return f"{known.names[-1]} has no {metric} of {', '.join(place)}"
    return f"{known.names[-1]} is not in the evaluation: run `{known.made_by}`"


def _by_users(pair: Pair, users: Resampled, metric: str, on: str) -> Outcome:
    """The ratio of the means, or where some draw has none of the peer the difference, over draws of users."""
    ours, theirs = (users.draws[row["model"], metric] for row in (pair.model, pair.peer))
    mean, peer = (users.mean[row["model"], metric] for row in (pair.model, pair.peer))
    if peer > 0 and (theirs > 0).all():
        unit, figure = RATIO, Figure.percentile(mean / peer, ours / theirs)
        verdict = side(figure, pair.region)
    else:
        unit, figure = DIFFERENCE, Figure.percentile(mean - peer, ours - theirs)
        region = _AS_DIFFERENCE.get(pair.region)
        verdict = side(figure, region) if region else UNDECIDED
    note = f"{users.num_users:,} users, {_seeds(pair)}"
    close = min(abs(mean - peer - edge) for edge in pair.edges()) <= pair.seed_errors
    if close and pair.seed_errors and verdict != UNDECIDED:
        verdict, note = UNDECIDED, f"{note}; within two standard errors over training seeds"
    return Outcome(on, verdict, note, unit, figure.value, figure.low, figure.high, pair.values)


def _by_seeds(pair: Pair, on: str, trained: list[str]) -> Outcome:
    """The difference of two coverages, with two standard errors over training seeds where there are enough."""
    difference = pair.model["value"] - pair.peer["value"]
    short = [r for r in (pair.model, pair.peer) if r["model"] in trained and r["num_seeds"] < MIN_SEEDS]
    if short:
        note = f"{_seeds(pair)}: a verdict takes {MIN_SEEDS} of each trained model"
        return Outcome(on, UNDECIDED, note, DIFFERENCE, difference, values=pair.values)
    figure = Figure(difference, difference - pair.seed_errors, difference + pair.seed_errors)
    region = tuple((edge - 1) * pair.peer["value"] if math.isfinite(edge) else edge for edge in pair.region)
    verdict = side(figure, (region[0], region[1]))
    note = f"{_seeds(pair)}; two standard errors over them"
    return Outcome(on, verdict, note, DIFFERENCE, difference, figure.low, figure.high, pair.values)


def _seeds(pair: Pair) -> str:
    """How many trainings stand behind the pair."""
    seeds = max(pair.model["num_seeds"], pair.peer["num_seeds"])
    return f"{seeds} training seed{'s' if seeds > 1 else ''}"
