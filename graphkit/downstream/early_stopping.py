"""Training of the laboratory's small models: Adam, and the weights of the epoch with the least validation loss."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy

import torch
from torch import Tensor, nn

from graphkit.config.downstream import DownstreamSection
from graphkit.training.device import generator, prepare


def seeded(seed: int, threads: int) -> None:
    """Make what torch draws and adds up next a function of the seed."""
    prepare(torch.device("cpu"), threads)
    torch.manual_seed(seed)


def train(
    model: nn.Module,
    loss: Callable[[Tensor], Tensor],
    num_examples: int,
    validation_loss: Callable[[], Tensor],
    settings: DownstreamSection,
    seed: int,
) -> None:
    """Fit ``model`` in place. ``loss(places)`` is that of the training examples at ``places`` [batch] of
    ``num_examples``."""
    optimiser = torch.optim.Adam(model.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    best, waited, kept = float("inf"), 0, deepcopy(model.state_dict())
    for epoch in range(settings.epochs):
        model.train()
        order = torch.randperm(num_examples, generator=generator(torch.device("cpu"), seed, "epoch", epoch))
        for places in torch.split(order, settings.batch_size):
            optimiser.zero_grad()
            loss(places).backward()  # type: ignore[no-untyped-call]  # torch gives it no types
            optimiser.step()
        model.eval()
        with torch.no_grad():
            found = float(validation_loss())
        if found < best:
            best, waited, kept = found, 0, deepcopy(model.state_dict())
        else:
            waited += 1
            if waited == settings.patience:
                break
    model.load_state_dict(kept)
    model.eval()
