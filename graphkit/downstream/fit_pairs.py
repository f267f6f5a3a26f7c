"""Training a pair model on a task's examples, and scoring with it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits

from graphkit.downstream.early_stopping import seeded, train
from graphkit.downstream.pair_model import PairModel, VectorSide
from graphkit.downstream.pairs import Pairs
from graphkit.downstream.rivals import Floats, Longs
from graphkit.downstream.world import World

#: Users that go through their side at a time.
_BLOCK = 4096


@dataclass(frozen=True)
class PairScorer:
    """A trained pair model (``Scorer``)."""

    world: World
    model: PairModel

    def pairs(self, pairs: Pairs) -> Floats:
        users, of_user = np.unique(pairs.users, return_inverse=True)
        user_side, item_side = self._users(pairs.moment, users), self._items[pairs.moment]
        found: Floats = np.einsum("nd,nd->n", user_side[of_user], item_side[pairs.items])
        return found

    def ranking(self, moment: str, users: Longs, items: slice) -> Floats:
        found: Floats = self._users(moment, users) @ self._items[moment][items].T
        return found

    def _users(self, moment: str, users: Longs) -> Floats:
        with torch.no_grad():
            blocks = torch.split(torch.from_numpy(users), _BLOCK)
            return torch.cat([self.model.users(moment, block) for block in blocks]).numpy()

    @cached_property
    def _items(self) -> dict[str, Floats]:
        """Every item's side, by moment."""
        rows = torch.arange(self.world.catalogue.size)
        with torch.no_grad():
            return {moment.name: self.model.items(moment.name, rows).numpy() for moment in self.world.moments}


def fit_pairs(
    world: World, user_side: Callable[[], nn.Module], training: Pairs, validation: Pairs, seed: int
) -> PairScorer:
    """Train the user side that ``user_side`` makes with an item side of embeddings, by binary cross-entropy; the
    validation users stop it."""
    seeded(seed, world.threads)
    tables = world.item_tables
    items = VectorSide(tables, training.moment, torch.arange(world.catalogue.size), world.settings.hidden)
    model = PairModel(user_side(), items)
    users, rows, labels = _tensors(training)
    held_out = _tensors(validation)

    def loss(places: Tensor) -> Tensor:
        logits = model(training.moment, users[places], rows[places])
        return binary_cross_entropy_with_logits(logits, labels[places])

    def validation_loss() -> Tensor:
        logits = model(validation.moment, held_out[0], held_out[1])
        return binary_cross_entropy_with_logits(logits, held_out[2])

    train(model, loss, len(labels), validation_loss, world.settings, seed)
    return PairScorer(world, model)


def _tensors(pairs: Pairs) -> tuple[Tensor, Tensor, Tensor]:
    """Users, items and labels."""
    labels = torch.from_numpy(pairs.labels.astype(np.float32))
    return torch.from_numpy(pairs.users), torch.from_numpy(pairs.items), labels
