"""Algorithm 1 of the paper: seeded batches of users, the best weights on held-out users kept, resumable."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from graphkit.config.autoencoder import AutoencoderSection
from graphkit.errors import GraphkitError
from graphkit.progress import say, track
from towers.backend import keras, to_numpy
from towers.encoders.autoencoder.model import Autoencoder, Tensors
from towers.feed import equal_pieces
from towers.saved_state import SavedState, load_state, save_state

CHECKPOINT_FILE: Final = "autoencoder.safetensors"
_BLOCK: Final = 4096

Floats = npt.NDArray[np.float32]


class Held(NamedTuple):
    """Rows to train on and rows of other users to validate on: float32 [n, dim], NaN where not known."""

    train: Floats
    validation: Floats


@dataclass
class Progress:
    """The epochs trained so far, and the weights of the best of them."""

    epochs: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    best: Tensors = field(default_factory=dict)


def train(model: Autoencoder, rows: Held, settings: AutoencoderSection, seed: int, checkpoint_dir: Path) -> Progress:
    """Train until the epochs are done or ``patience`` of them in a row were no better; then load the best.

    Goes on from the checkpoint where there is one. Raises GraphkitError where the loss is no number.
    """
    model.compile(optimizer=keras.optimizers.Adam(settings.learning_rate))
    model.optimizer.build(model.trainable_variables)
    path = checkpoint_dir / CHECKPOINT_FILE
    progress = _restored(model, path)
    while len(progress.epochs) < settings.epochs and len(progress.epochs) - progress.best_epoch < settings.patience:
        epoch = len(progress.epochs) + 1
        model.optimizer.learning_rate = learning_rate(settings, epoch)
        record = {"epoch": epoch, "loss": _run_epoch(model, rows.train, settings, seed, epoch)}
        record |= validate(model, rows.validation)
        _require_finite(record)
        if all(record["val_loss"] < before["val_loss"] for before in progress.epochs):
            progress.best_epoch, progress.best = epoch, model.tensors()
        progress.epochs.append(record)
        _save(model, progress, path)
        say(f"autoencoder epoch {epoch}/{settings.epochs}: loss {record['loss']:.4f}, {_shown(record)}")
    model.set_tensors(progress.best)
    return progress


def learning_rate(settings: AutoencoderSection, epoch: int) -> float:
    """From the whole at the first epoch by a cosine to 1 % at the last."""
    done = (epoch - 1) / max(settings.epochs - 1, 1)
    return settings.learning_rate * (0.01 + 0.99 * (1 + math.cos(math.pi * done)) / 2)


def validate(model: Autoencoder, rows: Floats) -> dict[str, float]:
    """``val_loss`` (equation 2), and what share of the rows' squared length the reconstruction explains."""
    length = left = whole = 0.0
    for first in range(0, len(rows), _BLOCK):
        block = rows[first : first + _BLOCK]
        residual = to_numpy(model(block, training=False)).astype(np.float64)
        normalised = to_numpy(model.normalise(block)).astype(np.float64)
        squares = (residual**2).sum(axis=1)
        length, left, whole = length + np.sqrt(squares).sum(), left + squares.sum(), whole + (normalised**2).sum()
    return {"val_loss": length / len(rows), "val_explained": 1 - left / max(whole, 1e-12)}


def _run_epoch(model: Autoencoder, rows: Floats, settings: AutoencoderSection, seed: int, epoch: int) -> float:
    model.seed_dropout(seed, epoch)
    order = np.random.default_rng([seed, 1, epoch]).permutation(len(rows))
    batches = equal_pieces(order, settings.batch_size)
    losses = [
        float(model.train_on_batch(rows[b])) for b in track(batches, f"autoencoder epoch {epoch}", len(batches))
    ]
    return float(np.mean(losses))


def _save(model: Autoencoder, progress: Progress, path: Path) -> None:
    tensors = {f"now/{name}": value for name, value in model.tensors().items()}
    tensors |= {f"best/{name}": value for name, value in progress.best.items()}
    tensors |= {f"optimiser/{i}": to_numpy(v) for i, v in enumerate(model.optimizer.variables)}
    save_state(path, SavedState(tensors, {"epochs": progress.epochs, "best_epoch": progress.best_epoch}))


def _restored(model: Autoencoder, path: Path) -> Progress:
    state = load_state(path)
    if state is None:
        return Progress()
    model.set_tensors(state.below("now/"))
    for i, variable in enumerate(model.optimizer.variables):
        variable.assign(state.tensors[f"optimiser/{i}"])
    return Progress(state.record["epochs"], state.record["best_epoch"], state.below("best/"))


def _shown(record: dict[str, Any]) -> str:
    return f"val_loss {record['val_loss']:.4f}, explained {record['val_explained']:.1%}"


def _require_finite(record: dict[str, Any]) -> None:
    if not (np.isfinite(record["loss"]) and np.isfinite(record["val_loss"])):
        raise GraphkitError(
            "the autoencoder's training diverged",
            where=f"epoch {record['epoch']}",
            expected="a finite loss",
            found=f"{record['loss']} in training, {record['val_loss']} on held-out users",
            fix="lower autoencoder.learning_rate",
        )
