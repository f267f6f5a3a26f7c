"""A model's gradients as one flat buffer: one norm, one exchange between processes, however many weights."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn


class FlatGradients:
    """Takes over the gradients of ``parameters``, to which autograd then adds in place; behind them, the loss."""

    def __init__(self, parameters: Iterable[nn.Parameter]) -> None:
        of = list(parameters)
        sizes = [parameter.numel() for parameter in of]
        self.buffer = torch.zeros(sum(sizes) + 1, device=of[0].device)  # [num_weights + 1]
        for parameter, part in zip(of, torch.split(self.buffer[:-1], sizes), strict=True):
            parameter.grad = part.view_as(parameter)

    @property
    def gradients(self) -> Tensor:
        return self.buffer[:-1]

    def compute(self, loss: Tensor) -> None:
        """The gradients of ``loss`` (a scalar), in the place of those before."""
        self.buffer.zero_()
        if loss.requires_grad:  # not where a process has no share of a small batch
            loss.backward()  # type: ignore[no-untyped-call]
        self.buffer[-1] = loss.detach()

    def measure(self) -> tuple[float, float]:
        """The loss, and the global norm of its gradients."""
        loss, norm = torch.stack([self.buffer[-1], torch.linalg.vector_norm(self.gradients)]).tolist()
        return loss, norm

    def clip(self, norm: float, longest: float | None) -> None:
        """Scale gradients of global norm ``norm`` down to ``longest`` where they are longer."""
        if longest is not None and norm > longest:
            self.gradients.mul_(longest / norm)
