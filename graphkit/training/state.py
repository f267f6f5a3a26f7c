"""What training has come to after some epochs, and how it is kept on disk."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor, nn

from graphkit.training.checkpoint import load_checkpoint, save_checkpoint

Tensors = dict[str, Tensor]
Model = TypeVar("Model", bound=nn.Module)


@dataclass
class Running:
    """What the epoch under way has come to."""

    batches: int = 0
    examples: int = 0
    loss: float = 0.0  # summed over the examples
    grad_norm: float = 0.0  # the largest before clipping

    def add(self, examples: int, loss: float, grad_norm: float) -> None:
        """Count a batch of ``examples`` with its mean loss."""
        self.batches, self.examples = self.batches + 1, self.examples + examples
        self.loss, self.grad_norm = self.loss + loss * examples, max(self.grad_norm, grad_norm)


@dataclass
class TrainingState(Generic[Model]):
    """Everything a step changes. Generators are not part of it: each step makes its own from the seed."""

    model: Model
    optimiser: torch.optim.Optimizer
    score: Callable[[dict[str, Any]], float]  # of an epoch's record: the model of the highest is kept
    epochs: list[dict[str, Any]] = field(default_factory=list)  # one record an epoch
    running: Running = field(default_factory=Running)
    best_epoch: int = 0
    best: Tensors = field(default_factory=dict)  # the model's weights after best_epoch
    examples: int = 0  # trained on in this process
    seconds: float = 0.0  # spent training on them
    saved_at: float = field(default_factory=time.perf_counter)

    @property
    def best_record(self) -> dict[str, Any]:
        return self.epochs[self.best_epoch - 1]

    def add(self, record: dict[str, Any]) -> None:
        """Append an epoch's record; the model is kept if it is the best so far."""
        self.epochs.append(record)
        self.running = Running()
        if self.best_epoch == 0 or self.score(record) > self.score(self.best_record):
            self.best_epoch = len(self.epochs)
            self.best = {name: tensor.detach().clone() for name, tensor in self.model.state_dict().items()}

    def save(self, folder: Path) -> None:
        """Write a checkpoint."""
        tensors = _prefixed("model", self.model.state_dict()) | _prefixed("best", self.best)
        for i, moments in self.optimiser.state_dict()["state"].items():
            tensors |= _prefixed(f"adam/{i}", moments)
        about = {"epochs": self.epochs, "best_epoch": self.best_epoch, "running": asdict(self.running)}
        save_checkpoint(folder, len(self.epochs), tensors, about, self.running.batches)
        self.saved_at = time.perf_counter()

    def load(self, folder: Path) -> None:
        """Take over the last whole checkpoint, if there is one."""
        found = load_checkpoint(folder)
        if found is None:
            return
        tensors, about = found
        self.epochs, self.best_epoch, self.best = about["epochs"], about["best_epoch"], _under("best", tensors)
        self.running = Running(**about["running"])
        self.model.load_state_dict(_under("model", tensors))
        adam = self.optimiser.state_dict()
        adam["state"] = {i: _under(f"adam/{i}", tensors) for i in range(len(list(self.model.parameters())))}
        self.optimiser.load_state_dict(adam)


def _prefixed(prefix: str, tensors: Tensors) -> Tensors:
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def _under(prefix: str, tensors: Tensors) -> Tensors:
    start = f"{prefix}/"
    return {name.removeprefix(start): tensor for name, tensor in tensors.items() if name.startswith(start)}
