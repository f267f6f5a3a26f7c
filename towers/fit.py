"""Train the two towers (paper 4.2, 4.3.1) and write the vectors that are evaluated and served."""

from __future__ import annotations

import json
from pathlib import Path
from time import perf_counter
from typing import Any, Final

import numpy as np
from pydantic import BaseModel

from graphkit.artefacts import Batch, StageSpec, StageWork, Workspace, sha256_file
from graphkit.bundle_format import REPLAY_FILE
from graphkit.config import Config
from graphkit.graph.store import FIT, SERVE
from graphkit.vectors import (
    INPUT_VECTORS_FILE,
    ITEM_VECTORS_FILE,
    POOLED_VECTORS_FILE,
    USER_VECTORS_FILE,
    save_vectors,
)
from towers.backend import choose_precision, keras, prepare
from towers.epochs import Task, build_towers, train
from towers.event_log import EventLog
from towers.examples import EXAMPLES_FILE, write_examples
from towers.feed import Feed
from towers.infer import item_vectors, user_vectors
from towers.item_features import ITEM_FEATURES_FILE
from towers.labels import item_probability, read_labels, split_users
from towers.replay import write_replay
from towers.saved_state import Progress
from towers.sources import Sources, read_sources
from towers.team import Team, joined, team_of_environment
from towers.two_tower import USER, WEIGHTS_FILE, Towers, save_weights
from towers.user_spec import FEATURES_FILE
from towers.validation import validation_cells

TRAINING_FILE: Final = "training.json"


def train_towers(workspace: Workspace, config: Config) -> Batch:
    """Train one user tower and an item tower per target type; write weights and vectors.

    Reads the current dataset, graph and hgnn batches, and those of the user vectors that are named. Called by every
    process that ``torch.distributed.run`` starts, it trains one model together and gives each the same batch. Raises
    ArtefactError where a batch is missing or they do not belong together, InputError for a target type without
    interactions to train on, and ConfigError for several processes under another back end than torch.
    """
    team = team_of_environment()
    upstream = workspace.upstream("towers", config)
    spec = StageSpec.of("towers", config, upstream.values())
    with joined(team):
        if not team.leads:
            return _follow(upstream, config, team)
        if (done := workspace.finished(spec)) is not None:
            team.share(lambda: {"done": str(done.folder)})
            return done
        with workspace.begin(spec) as work:
            team.share(lambda: {"checkpoint_dir": str(work.checkpoint_dir)})
            batch = _lead(work, upstream, config, team)
            team.share(lambda: {"done": str(batch.folder)})
            return batch


def _lead(work: StageWork, upstream: dict[str, Batch], config: Config, team: Team) -> Batch:
    logs = config.towers.tensorboard
    log = None if logs is None else EventLog(Path(logs) / work.spec.batch_id)
    sources, task, progress, seconds = _train(upstream, config, work.checkpoint_dir, team, log)
    _note(work, sources, task, progress, seconds)
    _write(work, sources, task, progress)
    work.metrics["hgnn_space_id"] = upstream["hgnn"].manifest.space_id
    work.metrics |= {"back_end": keras.backend.backend(), "processes": team.world}
    work.metrics["precision"] = choose_precision(config.towers.precision)
    return work.commit()


def _follow(upstream: dict[str, Batch], config: Config, team: Team) -> Batch:
    """Train with the leader, and wait for what it writes."""
    word: dict[str, str] = team.share(dict)
    if "done" not in word:
        _train(upstream, config, Path(word["checkpoint_dir"]), team)
        word = team.share(dict)
    return Batch.open(Path(word["done"]))


def _train(
    upstream: dict[str, Batch], config: Config, checkpoint_dir: Path, team: Team, log: EventLog | None = None
) -> tuple[Sources, Task, Progress, float]:
    """What was trained on, how it went, and the seconds of the loop alone."""
    prepare(config.run.seed, config.run.threads, team.local_world)
    sources = read_sources(upstream, config.towers)
    task = read_task(sources, config.run.seed)
    towers = build_towers(task, team)
    started = perf_counter()
    progress = train(towers, task, checkpoint_dir, team, log)
    return sources, task, progress, perf_counter() - started


def read_task(sources: Sources, seed: int) -> Task:
    """Labels, features and validation cells; a seeded share of the users is held out for validation."""
    dataset, settings = sources.dataset, sources.settings
    labels = {item_type: read_labels(dataset, item_type, settings.weak_weight > 0) for item_type in sources.items}
    strong = {t: label.strong() for t, label in labels.items()}
    held_out = split_users(strong, dataset.meta.num_users, settings.validation_share, seed)
    training = {t: label.of_users(~held_out) for t, label in labels.items()}
    validation = {t: label.of_users(held_out) for t, label in strong.items()}
    probability = {t: item_probability(label, sources.items[t].num_items) for t, label in training.items()}
    users = sources.training_users()
    timed, rng = dataset.meta.label_start is not None, np.random.default_rng([seed, 1])
    cells = [
        cell
        for label in validation.values()
        for cell in validation_cells(users, label, timed, settings.validation_users, rng)
    ]
    return Task(Feed(users, sources.items, probability), training, validation, cells, settings, seed)


def _write(work: StageWork, sources: Sources, task: Task, progress: Progress) -> None:
    """Weights, descriptions and vectors; the vectors in float32, as they are served, whatever was trained in."""
    towers = Towers(task.feed.users.spec, {t: items.spec for t, items in sources.items.items()}, sources.settings)
    towers.set_weights(progress.best_weights)
    save_weights(work.path(WEIGHTS_FILE), towers.weights())
    work.space_id = f"towers-{sha256_file(work.path(WEIGHTS_FILE))[:12]}"
    _write_json(work, FEATURES_FILE, task.feed.users.spec)
    _write_json(work, ITEM_FEATURES_FILE, {t: items.spec for t, items in sources.items.items()})
    _write_json(work, TRAINING_FILE, {"epochs": progress.epochs, "best_epoch": progress.best_epoch})
    write_examples(work.path(EXAMPLES_FILE), task, sources.features_end(FIT))
    serving = sources.serving_items()
    items = {t: item_vectors(tower, serving[t]) for t, tower in towers.items.items()}
    features = sources.serving_users()
    users = user_vectors(towers.user, features, sources.dataset.meta.num_users)
    save_vectors(work.path(ITEM_VECTORS_FILE), items)
    save_vectors(work.path(USER_VECTORS_FILE), {USER: users})
    write_replay(work.path(REPLAY_FILE), towers.user, features, items, task.seed)
    if sources.settings.pooled != "hgnn":
        save_vectors(work.path(POOLED_VECTORS_FILE), sources.pooled(SERVE))
    if sources.vectors:
        save_vectors(work.path(INPUT_VECTORS_FILE), {one.name: one.serve for one in sources.vectors})
    work.row_counts |= {"users": len(users), **{f"{t} items": len(matrix) for t, matrix in items.items()}}


def _note(work: StageWork, sources: Sources, task: Task, progress: Progress, seconds: float) -> None:
    """What the manifest says of the training."""
    meta = sources.dataset.meta
    taken = task.examples_per_epoch * (len(progress.epochs) - progress.resumed)
    best = progress.epochs[progress.best_epoch - 1]
    work.data_window = {
        "label_start": meta.label_start.isoformat() if meta.label_start else None,
        "cutoff": meta.cutoff.isoformat() if meta.cutoff else None,
    }
    work.row_counts |= {f"{t} examples": len(labels) for t, labels in task.train.items()}
    work.metrics |= {name: value for name, value in best.items() if name != "epoch"}
    work.metrics |= {
        "epochs": len(progress.epochs),
        "best_epoch": progress.best_epoch,
        "examples_per_second": round(taken / max(seconds, 1e-9), 1),
    }


def _write_json(work: StageWork, name: str, value: Any) -> None:
    text = json.dumps(value, indent=1, default=lambda model: model.model_dump(mode="json"))
    if isinstance(value, BaseModel):
        text = value.model_dump_json(indent=1)
    work.path(name).write_text(text, encoding="utf-8")
