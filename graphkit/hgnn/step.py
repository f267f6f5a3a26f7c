"""One step of training: the loss of a batch, its gradients, the optimiser."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor, nn

from graphkit.config.hgnn import HgnnSection
from graphkit.hgnn.failure import not_finite, save_failed_batch
from graphkit.hgnn.links import LinkSets
from graphkit.hgnn.model import HeteroSage
from graphkit.hgnn.objective import Objective, Part
from graphkit.training.device import choose_precision
from graphkit.training.distributed import Team
from graphkit.training.gradients import FlatGradients


def make_optimiser(model: nn.Module, config: HgnnSection) -> torch.optim.Optimizer:
    """Adam, or with weight decay AdamW."""
    if config.weight_decay:
        return torch.optim.AdamW(model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    return torch.optim.Adam(model.parameters(), lr=config.learning_rate)


class Step:
    """Takes steps on ``model``; of several processes, each computes the loss of its part of a batch."""

    def __init__(
        self,
        objective: Objective,
        model: HeteroSage,
        optimiser: torch.optim.Optimizer,
        checkpoint_dir: Path,
        team: Team,
    ) -> None:
        self.objective, self.model, self.optimiser = objective, model, optimiser
        self.checkpoint_dir, self.team = checkpoint_dir, team
        self.gradients = FlatGradients(model.parameters())
        self.device = objective.graph.device
        self.precision = choose_precision(objective.config.precision, self.device)

    def take(
        self, batch: LinkSets, draw: torch.Generator, learning_rate: float, epoch: int, number: int
    ) -> tuple[float, float]:
        """The batch's mean loss, and its gradient's norm before clipping; ``epoch`` and ``number`` tell where it is.

        Raises GraphkitError before any weight is changed where one of the two is no number.
        """
        self.gradients.compute(self._loss(batch, draw))
        self.team.sum(self.gradients.buffer)
        loss, norm = self.gradients.measure()
        if not (math.isfinite(loss) and math.isfinite(norm)):
            if self.team.leads:
                save_failed_batch(self.checkpoint_dir, batch)
            raise not_finite(loss, norm, epoch, number, batch, self.checkpoint_dir)
        self.gradients.clip(norm, self.objective.config.clip_norm)
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate
        self.optimiser.step()
        return loss, norm

    def _loss(self, batch: LinkSets, draw: torch.Generator) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == torch.bfloat16):
            return self.objective.loss(self.model, batch, draw, Part(self.team.rank, self.team.world))
