"""Every claim of the list on one workspace: what was measured, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from graphkit.artefacts import Batch, Workspace
from graphkit.claims.claim import (
    Claim,
    ClaimList,
    MetricMeasure,
    NoMeasure,
    ObservationMeasure,
    read_claims,
)
from graphkit.claims.metric_claims import judge_metric
from graphkit.claims.observation_claims import judge_observation
from graphkit.claims.results import Results
from graphkit.claims.sampler_time import SamplerPair, judge_sampler_time, sampler_pairs
from graphkit.claims.verdict import NOT_MEASURED, UNTESTED, Judged, Outcome, as_planted
from graphkit.config import Config
from graphkit.datasets.store import Dataset
from graphkit.describe.dataset import DatasetDescription, measure_dataset
from graphkit.graph.roles import SPARSE, type_roles

_NO_TARGET: Final = Outcome("", NOT_MEASURED, "the dataset has no target type")


@dataclass(frozen=True)
class Evidence:
    """What claims are measured on; ``evaluation`` is None where there is none of this dataset."""

    dataset: Dataset
    description: DatasetDescription
    evaluation: Batch | None
    pairs: Sequence[SamplerPair]


def measure_claims(workspace: Workspace, config: Config) -> list[Judged]:
    """Every claim on the workspace's current batches, one entry per claim and part of the data it is about.

    Writes nothing. Raises ArtefactError where there is no dataset, ConfigError for a list of claims that cannot be
    read.
    """
    dataset = Dataset.current(workspace)
    graph, evaluation = (workspace.current(s) if workspace.has(s) else None for s in ("graph", "evaluation"))
    description = measure_dataset(dataset, graph, config)
    return judge_claims(Evidence(dataset, description, evaluation, sampler_pairs(workspace)), config)


def judge_claims(evidence: Evidence, config: Config, claims: ClaimList | None = None) -> list[Judged]:
    """``measure_claims`` on what was read already, of the bundled list or another."""
    claims = read_claims() if claims is None else claims
    meta = evidence.dataset.meta
    judge = _Judge(claims, evidence, config)
    return [
        Judged(claim, meta.name, as_planted(outcome) if claim.planted and meta.planted else outcome)
        for claim in claims.claim
        for outcome in judge.outcomes(claim)
    ]


class _Judge:
    """Holds what several claims read."""

    def __init__(self, claims: ClaimList, evidence: Evidence, config: Config) -> None:
        self._claims, self._evidence = claims, evidence
        self._sparse = type_roles(evidence.dataset)[SPARSE][0] if evidence.dataset.meta.targets else None
        self._missing, self._results = "", None
        evaluation, dataset = evidence.evaluation, evidence.dataset.batch
        if evaluation is None:
            self._missing = "there is no evaluation: run `graphkit evaluate`"
        elif evaluation.manifest.upstream["dataset"] != dataset.id:
            self._missing = "the evaluation is of another dataset: run `graphkit evaluate` again"
        else:
            names = tuple(dict.fromkeys(name for known in claims.models.values() for name in known.names))
            self._results = Results(evaluation, names, config.evaluation.bootstrap, config.run.seed)

    def outcomes(self, claim: Claim) -> list[Outcome]:
        measure = claim.measure
        if isinstance(measure, NoMeasure):
            return [Outcome("", UNTESTED, measure.why)]
        if isinstance(measure, MetricMeasure):
            targets = [
                t for t in self._evidence.dataset.meta.targets if (t == self._sparse) == (measure.target == "sparse")
            ]
            return judge_metric(measure, self._claims, self._results, self._missing, targets)
        if isinstance(measure, ObservationMeasure):
            found = next((t for t in self._evidence.description.targets if t.target == self._sparse), None)
            return [_NO_TARGET] if found is None else judge_observation(measure, found)
        return [judge_sampler_time(list(self._evidence.pairs))]
