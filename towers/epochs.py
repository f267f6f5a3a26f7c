"""The training loop: epochs over seeded batches, validation after each, the best weights kept, resumable."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from graphkit.config.towers import TowersSection
from graphkit.errors import GraphkitError
from graphkit.progress import say, track
from towers.backend import choose_precision, ops, to_numpy
from towers.checkpoint import load_checkpoint, save_checkpoint
from towers.event_log import EventLog
from towers.feed import Feed, TowerBatch, ahead, epoch_batches, examples_per_epoch, training_batch
from towers.infer import embed_users, item_vectors
from towers.labels import Labels
from towers.optimiser import SummedAdam
from towers.saved_state import Progress
from towers.team import Alone, Team
from towers.two_tower import Towers
from towers.validation import Cell, mean_over_cells, ndcg

#: Examples of validation users per type that the validation loss is computed on, at most.
_LOSS_EXAMPLES: Final = 8192
_CURVES: Final = ("loss", "val_loss", "val_ndcg")


@dataclass(frozen=True)
class Task:
    """What the towers are trained on and validated on, per target type."""

    feed: Feed
    train: dict[str, Labels]
    validation: dict[str, Labels]
    cells: list[Cell]
    settings: TowersSection
    seed: int

    @property
    def examples_per_epoch(self) -> int:
        return sum(examples_per_epoch(self.train, self.settings).values())

    @property
    def batches_per_epoch(self) -> int:
        taken = examples_per_epoch(self.train, self.settings)
        return sum(-(-count // self.settings.batch_size) for count in taken.values())


def build_towers(task: Task, team: Team | None = None) -> Towers:
    """Fresh towers for the task, each pair compiled with an Adam of its own."""
    settings = task.settings
    specs = {item_type: items.spec for item_type, items in task.feed.items.items()}
    towers = Towers(task.feed.users.spec, specs, settings, choose_precision(settings.precision))
    for pair in towers.pairs.values():
        pair.compile(optimizer=SummedAdam(settings.learning_rate, team or Alone()))
        pair.optimizer.build(pair.trainable_variables)
    return towers


def train(
    towers: Towers, task: Task, checkpoint_dir: Path, team: Team | None = None, log: EventLog | None = None
) -> Progress:
    """Train until the epochs are done or ``patience`` of them in a row were no better; then load the best.

    Goes on from the checkpoint where there is one. The epochs that are trained here are written to ``log`` too.
    """
    team = team or Alone()
    progress = load_checkpoint(checkpoint_dir, towers)
    settings = task.settings
    while len(progress.epochs) < settings.epochs and progress.epochs_since_best < settings.patience:
        record = run_epoch(towers, task, len(progress.epochs) + 1, team)
        _require_finite(record)
        progress.epochs.append(record)
        if _is_best(progress.epochs):
            progress.best_epoch, progress.best_weights = record["epoch"], towers.weights()
        if team.leads:
            save_checkpoint(checkpoint_dir, towers, progress)
        if log is not None:
            log.add(record["epoch"], record)
        curves = ", ".join(f"{name} {record[name]:.4f}" for name in _CURVES if name in record)
        say(f"towers epoch {record['epoch']}/{settings.epochs}: {curves}")
    towers.set_weights(progress.best_weights)
    return progress


def run_epoch(towers: Towers, task: Task, epoch: int, team: Team) -> dict[str, Any]:
    """Train one epoch and validate: its record for ``training.json``."""
    rng = np.random.default_rng([task.seed, 2, epoch])
    feed = ahead(
        batch.part(team.rank, team.world) for batch in epoch_batches(task.feed, task.train, task.settings, rng)
    )
    losses = [
        _scored(batch, towers.pairs[batch.item_type].train_on_batch(batch.x, batch.y))
        for batch in track(feed, f"towers epoch {epoch}", task.batches_per_epoch)
    ]
    return {"epoch": epoch, "loss": _mean_loss(losses, team), **team.share(lambda: validate(towers, task))}


def validate(towers: Towers, task: Task) -> dict[str, Any]:
    """``val_loss``, ``val_ndcg`` (NDCG@10 over the whole catalogue, mean over cells) and each cell's figure."""
    record: dict[str, Any] = {}
    if any(len(labels) for labels in task.validation.values()):
        record["val_loss"] = _validation_loss(towers, task)
    if task.cells:
        vectors = {t: item_vectors(tower, task.feed.items[t]) for t, tower in towers.items.items()}
        figures = {
            cell.name: float(ndcg(embed_users(towers.user, cell.inputs), vectors[cell.item_type], cell).mean())
            for cell in task.cells
        }
        users = {cell.name: cell.num_users for cell in task.cells}
        record |= {"val_ndcg": mean_over_cells(figures, users), "val_ndcg_cells": figures}
    return record


def _validation_loss(towers: Towers, task: Task) -> float:
    losses = []
    for item_type, labels in task.validation.items():
        if len(labels):
            rows = np.random.default_rng([task.seed, 3]).permutation(len(labels))[:_LOSS_EXAMPLES]
            for piece in np.array_split(rows, -(-len(rows) // task.settings.batch_size)):
                batch = training_batch(task.feed, labels, piece, task.settings)
                pair = towers.pairs[item_type]
                losses.append(_scored(batch, pair.compute_loss(y=batch.y, y_pred=pair(batch.x))))
    return _mean(losses)


def _require_finite(record: dict[str, Any]) -> None:
    if not np.isfinite(record["loss"]):
        raise GraphkitError(
            "the towers' training diverged",
            where=f"epoch {record['epoch']}",
            expected="a finite loss",
            found=str(record["loss"]),
            fix="lower towers.learning_rate or raise towers.temperature",
        )


def _is_best(epochs: list[dict[str, Any]]) -> bool:
    """Whether the last epoch beats all before it, by NDCG@10, or by loss where nobody could be ranked."""
    last, before = epochs[-1], epochs[:-1]
    if "val_ndcg" in last:
        return all(last["val_ndcg"] > epoch["val_ndcg"] for epoch in before)
    name = "val_loss" if "val_loss" in last else "loss"
    return all(last[name] < epoch[name] for epoch in before)


def _scored(batch: TowerBatch, loss: Any) -> tuple[float, int]:
    return float(to_numpy(loss)), batch.size


def _mean_loss(losses: list[tuple[float, int]], team: Team) -> float:
    """The mean loss of an example over an epoch: each process knows its part of every batch's loss."""
    parts = ops.convert_to_tensor([loss for loss, _ in losses], dtype="float32")
    team.sum(parts)
    return _mean(list(zip(to_numpy(parts).tolist(), [size for _, size in losses], strict=True)))


def _mean(losses: list[tuple[float, int]]) -> float:
    """The mean loss of an example."""
    total = sum(size for _, size in losses)
    return sum(loss * size for loss, size in losses) / total
