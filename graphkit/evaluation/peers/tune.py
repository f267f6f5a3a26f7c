"""Stage ``peers``: each peer's settings tried on validation, the same number for all, and the best kept per cell.

Files: ``peers.json`` (how validation was cut, the budget, the winners per target type and user group, what was left
out and why), ``trials.parquet`` (peer, setting as JSON, target_type, group, ndcg, num_users).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import polars as pl

from graphkit.artefacts import Batch, StageSpec, StageWork, Workspace
from graphkit.config import Config
from graphkit.config.sections import PeersSection
from graphkit.datasets.store import Dataset
from graphkit.errors import DataError
from graphkit.evaluation.groups import Parts, final_parts, tasks_of
from graphkit.evaluation.peers.optional import peer_inputs
from graphkit.evaluation.peers.peer import Peer
from graphkit.evaluation.peers.registry import chosen_peers
from graphkit.evaluation.peers.train_data import TrainData, read_train
from graphkit.evaluation.peers.trials import Score, Trials
from graphkit.evaluation.peers.winners import choose
from graphkit.evaluation.validation import how_cut, sampled, validation_parts
from graphkit.parallel import thread_count
from graphkit.progress import say, track

PEERS_FILE: Final = "peers.json"
TRIALS_FILE: Final = "trials.parquet"
_TRIALS: Final = {
    "peer": pl.String,
    "setting": pl.String,
    "target_type": pl.String,
    "group": pl.String,
    "ndcg": pl.Float64,
    "num_users": pl.Int64,
}


def tune_peers(workspace: Workspace, config: Config) -> Batch:
    """Fit ``peers.trials`` settings of each peer on the earlier part of train and rank the rest of it.

    Test rows are not read. A peer that cannot be fitted here is left out, with its reason.
    """
    upstream = workspace.upstream("peers")
    spec = StageSpec.of("peers", config, upstream.values(), peer_inputs())
    if (done := workspace.finished(spec)) is not None:
        return done
    with workspace.begin(spec) as work:
        dataset, seed, settings = Dataset.open(upstream["dataset"]), config.run.seed, config.peers
        parts = validation_parts(dataset, seed)
        tasks = {
            name: sampled(task, settings.max_validation_users, seed)
            for name, task in tasks_of(dataset.meta, parts).items()
        }
        peers, left_out = _fitting(dataset, settings)
        train = _read_earlier(dataset, parts)
        trials = Trials(train, tasks, work.checkpoint_dir, seed, thread_count(config.run.threads))
        scores, seconds = _run(trials, peers, settings.trials)
        body = {
            "validation": how_cut(dataset, parts, tasks),
            "budget": budget(settings),
            "winners": {p.name: choose(scores[p.name], dataset.meta.targets, p.settings[0]) for p in peers},
            "left_out": left_out,
        }
        _write(work, body, scores)
        work.row_counts = {"trials": sum(len(found) for found in scores.values())}
        work.metrics = {"seconds": seconds, "left_out": left_out}
        work.data_window = dict(dataset.batch.manifest.data_window)
        return work.commit()


def _read_earlier(dataset: Dataset, parts: Parts) -> TrainData:
    train = read_train(dataset, parts)
    if train.all_likes.nnz:
        return train
    raise DataError(
        "validation leaves no train rows to fit the peers on",
        where=str(dataset.batch.folder),
        expected=f"train rows by {', '.join(dataset.meta.strong)} before validation starts",
        found=f"none before {parts.cutoff}",
        fix="make the dataset again with a later split.cutoff or another split.kind",
    )


def budget(settings: PeersSection) -> dict[str, Any]:
    """What every peer was given."""
    return {
        "trials": settings.trials,
        "epochs": {"LightGCN": settings.lightgcn_epochs, "Hybrid MF": settings.hybrid_epochs},
    }


def _fitting(dataset: Dataset, settings: PeersSection) -> tuple[list[Peer], dict[str, str]]:
    """The chosen peers that can be fitted on the whole of train, and why the others cannot."""
    train = read_train(dataset, final_parts(dataset))
    reasons = {peer: peer.left_out(train) for peer in chosen_peers(settings)}
    left_out = {peer.name: reason for peer, reason in reasons.items() if reason is not None}
    for name, reason in left_out.items():
        say(f"{name} is left out: {reason}")
    return [peer for peer, reason in reasons.items() if reason is None], left_out


def _run(trials: Trials, peers: list[Peer], budget: int) -> tuple[dict[str, list[Score]], dict[str, float]]:
    """Scores and seconds by the peer's name."""
    planned = [(peer, number) for peer in peers for number in range(min(budget, len(peer.settings)))]
    scores: dict[str, list[Score]] = {peer.name: [] for peer in peers}
    seconds = dict.fromkeys(scores, 0.0)
    for peer, number in track(planned, "tuning peers", len(planned)):
        found, took = trials.run(peer, number)
        scores[peer.name] += found
        seconds[peer.name] += took
    return scores, {name: round(total, 1) for name, total in seconds.items()}


def _write(work: StageWork, body: Mapping[str, Any], scores: Mapping[str, list[Score]]) -> None:
    work.path(PEERS_FILE).write_text(json.dumps(body, indent=1), encoding="utf-8")
    rows = [
        {"peer": peer, **score._asdict(), "setting": json.dumps(score.setting)}
        for peer, found in scores.items()
        for score in found
    ]
    pl.DataFrame(rows, schema=_TRIALS).write_parquet(work.path(TRIALS_FILE))
