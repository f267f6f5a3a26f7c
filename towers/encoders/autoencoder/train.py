"""Algorithm 1 of the paper: seeded batches of users, the best weights on held-out users kept, resumable."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from graphkit.config.autoencoder import AutoencoderSection
from graphkit.errors import GraphkitError
from graphkit.progress import say, track
from graphkit.training.schedule import warm_up_and_cosine
from towers.backend import keras, to_numpy
from towers.encoders.autoencoder.model import Autoencoder
from towers.feed import equal_pieces
from towers.saved_state import Progress, SavedState, load_state, save_state

CHECKPOINT_FILE: Final = "autoencoder.safetensors"
#: What the learning rate falls to at the last epoch, as a share.
_FLOOR: Final = 0.01
_BLOCK: Final = 4096

Floats = npt.NDArray[np.float32]


class Held(NamedTuple):
    """Rows to train on and rows of other users to validate on: float32 [n, dim], NaN where not known."""

    train: Floats
    validation: Floats


def train(model: Autoencoder, rows: Held, settings: AutoencoderSection, seed: int, checkpoint_dir: Path) -> Progress:
    """Train until the epochs are done or ``patience`` of them in a row were no better; then load the best.

    Goes on from the checkpoint where there is one. Raises GraphkitError where the loss is no number.
    """
    model.compile(optimizer=keras.optimizers.Adam(settings.learning_rate))
    model.optimizer.build(model.trainable_variables)
    path = checkpoint_dir / CHECKPOINT_FILE
    progress = _restored(model, path)
    while len(progress.epochs) < settings.epochs and progress.epochs_since_best < settings.patience:
        epoch = len(progress.epochs) + 1
        model.optimizer.learning_rate = warm_up_and_cosine(
            settings.learning_rate, epoch, settings.epochs, warm_up=0, floor=_FLOOR
        )
        record = {"epoch": epoch, "loss": _run_epoch(model, rows.train, settings, seed, epoch)}
        record |= validate(model, rows.validation)
        _require_finite(record)
        if all(record["val_loss"] < before["val_loss"] for before in progress.epochs):
            progress.best_epoch, progress.best_weights = epoch, model.tensors()
        progress.epochs.append(record)
        _save(model, progress, path)
        say(f"autoencoder epoch {epoch}/{settings.epochs}: loss {record['loss']:.4f}, {_shown(record)}")
    model.set_tensors(progress.best_weights)
    return progress


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
    optimiser = {str(i): to_numpy(variable) for i, variable in enumerate(model.optimizer.variables)}
    save_state(path, SavedState(model.tensors(), optimiser, progress))


def _restored(model: Autoencoder, path: Path) -> Progress:
    state = load_state(path)
    if state is None:
        return Progress()
    model.set_tensors(state.weights)
    for i, variable in enumerate(model.optimizer.variables):
        variable.assign(state.optimiser[str(i)])
    return state.progress


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
