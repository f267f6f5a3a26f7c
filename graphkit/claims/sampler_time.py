"""The claim that the balanced sampler saves training time: time to the same validation MRR, per training seed.

The time to an epoch is the links drawn up to it over the run's links per second, both of which a batch keeps; the
validation MRR is a mean over relations under either sampler. What is saved is 1 minus the ratio of the balanced to
the unbalanced time to the smaller of the two best MRRs, which both reach.
"""

from __future__ import annotations

import json
from itertools import accumulate
from pathlib import Path
from typing import Any, Final, NamedTuple

from graphkit.artefacts import Batch, Workspace
from graphkit.claims.verdict import NOT_MEASURED, TIME_SAVED, Outcome, side, two_errors
from graphkit.describe.figures import Figure
from graphkit.describe.observations import UNDECIDED

VARIANTS_DIR: Final = "variants"
_BALANCED, _UNBALANCED = "2t-hgnn", "a-unbalanced"
_INFINITY: Final = float("inf")


class SamplerPair(NamedTuple):
    """Two trainings of one seed on one graph, which differ by the sampler."""

    balanced: Batch
    unbalanced: Batch


def sampler_pairs(workspace: Workspace) -> list[SamplerPair]:
    """The trainings of the current data under both samplers, by seed: the unbalanced ones are variants of the
    workspace, and so are the balanced ones but for the workspace's own."""
    balanced = {hgnn.manifest.seed: hgnn for hgnn in _trained(workspace, _BALANCED)}
    if workspace.has("hgnn"):
        own = workspace.current("hgnn")
        balanced[own.manifest.seed] = own
    pairs = []
    for unbalanced in _trained(workspace, _UNBALANCED):
        other = balanced.get(unbalanced.manifest.seed)
        if other is not None and _but_for_the_sampler(other) == _but_for_the_sampler(unbalanced):
            pairs.append(SamplerPair(other, unbalanced))
    return pairs


def _but_for_the_sampler(batch: Batch) -> tuple[dict[str, str], dict[str, Any]]:
    """The graph and the settings of a training."""
    settings = batch.manifest.settings["hgnn"]
    return batch.manifest.upstream, {key: value for key, value in settings.items() if key != "sampler"}


def _trained(workspace: Workspace, variant: str) -> list[Batch]:
    """The variant's HGNN batches that were made from the current data, by seed."""
    folders: list[Path] = sorted((workspace.root / VARIANTS_DIR / variant).glob("seed-*"))
    there = [Workspace(folder).current("hgnn") for folder in folders if Workspace(folder).has("hgnn")]
    snapshot = workspace.current("dataset").manifest.snapshot_id
    return [batch for batch in there if batch.manifest.snapshot_id == snapshot]


def judge_sampler_time(pairs: list[SamplerPair]) -> Outcome:
    """The mean share of time saved over the seeds, two standard errors about it; undecided with one seed."""
    on = "training the HGNN"
    if not pairs:
        missing = "no training with the unbalanced sampler beside the current one: run `graphkit ablate a-unbalanced`"
        return Outcome(on, NOT_MEASURED, missing)
    found = [_saved(pair) for pair in pairs]
    saved = [share for share in found if isinstance(share, float)]
    if not saved:
        return Outcome(on, NOT_MEASURED, next(why for why in found if isinstance(why, str)))
    mean, error = sum(saved) / len(saved), two_errors(saved)
    if error is None:
        note = "one training seed: a verdict takes several (`graphkit ablate 2t-hgnn a-unbalanced --seeds 3`)"
        return Outcome(on, UNDECIDED, note, TIME_SAVED, mean)
    figure = Figure(mean, mean - error, mean + error)
    note = f"{len(saved)} training seeds; two standard errors over them"
    return Outcome(on, side(figure, (0, _INFINITY)), note, TIME_SAVED, mean, figure.low, figure.high)


def _saved(pair: SamplerPair) -> float | str:
    """The share of time saved, or why it cannot be said."""
    runs = []
    for batch in pair:
        speed = batch.manifest.metrics.get("edges_per_second")
        epochs = json.loads(batch.path("training.json").read_text(encoding="utf-8"))["epochs"]
        if not speed or any(epoch["val_mrr"] is None for epoch in epochs):
            return f"hgnn batch {batch.id} keeps no links per second, or had no links held out"
        seconds = accumulate(sum(epoch["edges"].values()) / speed for epoch in epochs)
        runs.append(list(zip(seconds, (epoch["val_mrr"] for epoch in epochs), strict=True)))
    goal = min(max(mrr for _, mrr in run) for run in runs)
    balanced, unbalanced = (next(seconds for seconds, mrr in run if mrr >= goal) for run in runs)
    return float(1 - balanced / unbalanced)
