"""The training loop of the PyTorch encoders: epochs, held-out loss, early stopping, checkpoints, processes."""

from __future__ import annotations

import itertools
import math
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar
from zlib import crc32

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from graphkit.config.sequence_encoders import SequenceSection
from graphkit.errors import GraphkitError
from graphkit.progress import say, track
from graphkit.training.device import choose_precision
from graphkit.training.distributed import ALONE, Team
from graphkit.training.gradients import FlatGradients
from graphkit.training.schedule import warm_up_and_cosine
from graphkit.training.state import TrainingState

#: An epoch that takes longer is kept in between, so that a kill costs no more than this.
CHECKPOINT_SECONDS: Final = 120.0

Ints = npt.NDArray[np.int64]
Model = TypeVar("Model", bound=nn.Module)


class Learner(Protocol[Model]):
    """What is learned: a model, its training examples, and what it is judged by."""

    model: Model

    @property
    def num_examples(self) -> int:
        """How many training examples (users) there are."""

    def loss(self, examples: Ints, own: slice, draw: np.random.Generator) -> Tensor:
        """The share that the examples ``own`` of a batch have in its mean loss: over all shares it adds up to it.

        Whatever is drawn for the batch is drawn in every process, from ``draw``.
        """

    def held_out_loss(self) -> float:
        """The mean loss of the held-out users, without dropout, the same for the same weights."""


@dataclass(frozen=True)
class Fit:
    """One training run; ``name`` is the encoder's."""

    name: str
    settings: SequenceSection
    seed: int
    device: torch.device
    checkpoint_dir: Path
    team: Team = ALONE

    def run(self, learner: Learner[Model]) -> TrainingState[Model]:
        """Train until ``epochs``, or until ``patience`` of them brought nothing better; the best model is loaded.

        Continues after the last whole checkpoint, to the same result as an unbroken run. Raises GraphkitError for a
        loss or a gradient that is no number, and where another process of the team fails.
        """
        state = TrainingState(learner.model, self._optimiser(learner.model), lambda record: -record["val_loss"])
        state.load(self.checkpoint_dir)
        self.team.agree("data, settings and weights", self._fingerprint(state, learner.num_examples))
        gradients = FlatGradients(learner.model.parameters())
        while len(state.epochs) < self.settings.epochs:
            if len(state.epochs) - state.best_epoch >= self.settings.patience:
                break
            record = self._epoch(len(state.epochs) + 1, learner, state, gradients)
            learner.model.eval()
            record["val_loss"] = self.team.share(learner.held_out_loss)
            state.add(record)
            self._save(state)
            say(
                f"{self.name} epoch {record['epoch']}/{self.settings.epochs}: "
                f"loss {record['loss']:.4f}, val_loss {record['val_loss']:.4f}"
            )
        learner.model.load_state_dict(state.best)
        learner.model.eval()
        return state

    def steps_per_epoch(self, num_examples: int) -> int:
        """Steps of an epoch: batches of nearly the same size, since a small one has few negatives."""
        return max(round(num_examples / self.settings.batch_size), 1)

    def _optimiser(self, model: nn.Module) -> torch.optim.Optimizer:
        """AdamW, whole in every process (the paper shards it); the scale of cosines does not decay."""
        settings = self.settings
        groups: list[dict[str, Any]] = [{"params": [p for p in model.parameters() if p.ndim]}]
        if scales := [p for p in model.parameters() if p.ndim == 0]:
            groups.append({"params": scales, "weight_decay": 0.0})
        return torch.optim.AdamW(
            groups,
            lr=settings.learning_rate,
            betas=(settings.beta_1, settings.beta_2),
            eps=settings.epsilon,
            weight_decay=settings.weight_decay,
            fused=True,
        )

    def _epoch(
        self, epoch: int, learner: Learner[Model], state: TrainingState[Model], gradients: FlatGradients
    ) -> dict[str, Any]:
        """Train on every example once, but for the batches that are done already: the epoch's record."""
        started, steps = time.perf_counter(), self.steps_per_epoch(learner.num_examples)
        order = np.random.default_rng([self.seed, 2, epoch]).permutation(learner.num_examples)
        batches = itertools.islice(np.array_split(order, steps), state.running.batches, None)
        learner.model.train()
        for batch in track(batches, f"{self.name} epoch {epoch}", steps - state.running.batches):
            number = state.running.batches + 1
            rate = self._rate((epoch - 1) * steps + number, steps)
            draw = np.random.default_rng([self.seed, 3, epoch, number])
            torch.manual_seed(crc32(f"{self.seed}/{epoch}/{number}/{self.team.rank}".encode()))
            where = f"epoch {epoch}, batch {number}"
            loss, norm = self._step(learner, state.optimiser, gradients, batch, draw, rate, where)
            state.running.add(len(batch), loss, norm)
            state.examples += len(batch)
            if time.perf_counter() - state.saved_at > CHECKPOINT_SECONDS:
                self._save(state)
        state.seconds += time.perf_counter() - started
        return {
            "epoch": epoch,
            "loss": state.running.loss / state.running.examples,
            "learning_rate": self._rate(epoch * steps, steps),  # of the last step
            "grad_norm": state.running.grad_norm,
        }

    def _step(
        self,
        learner: Learner[Model],
        optimiser: torch.optim.Optimizer,
        gradients: FlatGradients,
        batch: Ints,
        draw: np.random.Generator,
        rate: float,
        where: str,
    ) -> tuple[float, float]:
        """The batch's mean loss, and its gradient's norm before clipping."""
        rank, world = self.team.rank, self.team.world
        own = slice(len(batch) * rank // world, len(batch) * (rank + 1) // world)
        half = choose_precision(self.settings.precision, self.device) == torch.bfloat16
        with torch.autocast(self.device.type, torch.bfloat16, enabled=half):
            share = learner.loss(batch, own, draw)
        gradients.compute(share)
        self.team.sum(gradients.buffer)
        loss, norm = gradients.measure()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise GraphkitError(
                f"the training of {self.name} came to no number",
                where=where,
                found=f"loss {loss}, norm of the gradient {norm}",
                fix=f"lower {self.name}.learning_rate; the last checkpoint is kept in {self.checkpoint_dir}",
            )
        gradients.clip(norm, self.settings.clip_norm)
        for group in optimiser.param_groups:
            group["lr"] = rate
        optimiser.step()
        return loss, norm

    def _rate(self, step: int, steps_per_epoch: int) -> float:
        settings = self.settings
        steps = settings.epochs * steps_per_epoch
        return warm_up_and_cosine(settings.learning_rate, step, steps, settings.warm_up_share, settings.final_rate)

    def _save(self, state: TrainingState[Model]) -> None:
        if self.team.leads:
            state.save(self.checkpoint_dir)

    def _fingerprint(self, state: TrainingState[Model], num_examples: int) -> bytes:
        """What processes that train together must have in common before they start."""
        weights = [tensor.detach().cpu().numpy().tobytes() for tensor in state.model.state_dict().values()]
        about = f"{self.device.type} {self.settings} {num_examples} {state.epochs} {state.running}"
        return b"".join([*weights, about.encode()])
