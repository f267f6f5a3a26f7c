"""Every claim of the list on one workspace: what was measured, and the verdict."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from graphkit.artefacts import Batch, Workspace
from graphkit.claims.claim import (
    Claim,
    ClaimList,
    GainMeasure,
    MetricMeasure,
    NoMeasure,
    ObservationMeasure,
    ScalingMeasure,
    UsersMeasure,
    read_claims,
)
from graphkit.claims.gain_claims import judge_gain
from graphkit.claims.metric_claims import judge_metric
from graphkit.claims.observation_claims import judge_observation
from graphkit.claims.results import Results
from graphkit.claims.sampler_time import SamplerPair, judge_sampler_time, sampler_pairs
from graphkit.claims.scaling_claims import judge_scaling
from graphkit.claims.user_claims import Laboratory, judge_users
from graphkit.claims.verdict import NOT_MEASURED, UNTESTED, Judged, Outcome, as_planted
from graphkit.config import Config
from graphkit.datasets.store import Dataset
from graphkit.describe.dataset import DatasetDescription, measure_dataset
from graphkit.graph.roles import SPARSE, type_roles
from graphkit.stages import ALL_STAGES

#: The stages that claims are measured on, in words.
MEASURED: Final = {
    "evaluation": "evaluation",
    "downstream": "evaluation of user vectors",
    "encoder-scaling": "measured scaling of an encoder",
}
_NO_TARGET: Final = Outcome("", NOT_MEASURED, "the dataset has no target type")


@dataclass(frozen=True)
class Evidence:
    """What claims are measured on; a batch of ``MEASURED`` is not there where there is none."""

    dataset: Dataset
    description: DatasetDescription
    batches: Mapping[str, Batch]
    pairs: Sequence[SamplerPair]

    def of(self, stage: str) -> tuple[Batch | None, str]:
        """The batch of a stage if it is of this dataset, or why there is none."""
        batch, command = self.batches.get(stage), ALL_STAGES[stage].command
        if batch is None:
            return None, f"there is no {MEASURED[stage]}: run `{command}`"
        if batch.manifest.upstream["dataset"] != self.dataset.batch.id:
            return None, f"the {MEASURED[stage]} is of another dataset: run `{command}` again"
        return batch, ""


def measure_claims(workspace: Workspace, config: Config) -> list[Judged]:
    """Every claim on the workspace's current batches, one entry per claim and part of the data it is about.

    Writes nothing. Raises ArtefactError where there is no dataset, ConfigError for a list of claims that cannot be
    read.
    """
    dataset = Dataset.current(workspace)
    batches = {stage: workspace.current(stage) for stage in ("graph", *MEASURED) if workspace.has(stage)}
    description = measure_dataset(dataset, batches.get("graph"), config)
    return judge_claims(Evidence(dataset, description, batches, sampler_pairs(workspace)), config)


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
        evaluation, self._no_results = evidence.of("evaluation")
        laboratory, self._no_laboratory = evidence.of("downstream")
        names = tuple(dict.fromkeys(name for known in claims.models.values() for name in known.names))
        resamples, seed = config.evaluation.bootstrap, config.run.seed
        self._results = None if evaluation is None else Results(evaluation, names, resamples, seed)
        self._laboratory = None if laboratory is None else Laboratory(laboratory)

    def outcomes(self, claim: Claim) -> list[Outcome]:
        measure = claim.measure
        if isinstance(measure, NoMeasure):
            return [Outcome("", UNTESTED, measure.why)]
        if isinstance(measure, MetricMeasure):
            return judge_metric(measure, self._claims, self._results, self._no_results, self._targets(measure.target))
        if isinstance(measure, GainMeasure):
            return judge_gain(measure, self._claims, self._results, self._no_results, self._targets(measure.target))
        if isinstance(measure, UsersMeasure):
            return [judge_users(measure, self._claims, self._laboratory, self._no_laboratory)]
        if isinstance(measure, ScalingMeasure):
            return judge_scaling(measure, *self._evidence.of("encoder-scaling"))
        if isinstance(measure, ObservationMeasure):
            found = next((t for t in self._evidence.description.targets if t.target == self._sparse), None)
            return [_NO_TARGET] if found is None else judge_observation(measure, found)
        return [judge_sampler_time(list(self._evidence.pairs))]

    def _targets(self, target: str) -> list[str]:
        """The sparse target type, or the others."""
        return [t for t in self._evidence.dataset.meta.targets if (t == self._sparse) == (target == "sparse")]
