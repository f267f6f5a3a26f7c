"""The rows of the table: whatever can be fitted to a pair task's training examples and then scores pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

from graphkit.downstream.early_stopping import seeded, train
from graphkit.downstream.pair_model import PairModel
from graphkit.downstream.pairs import Pairs
from graphkit.downstream.representations import Representation
from graphkit.downstream.world import World

Floats = npt.NDArray[np.float32]
#: Scores of pairs, [n]; above 0: the user meets the item.
Scorer = Callable[[Pairs], Floats]


class Rival(Protocol):
    """A row of the table in pair tasks."""

    @property
    def name(self) -> str: ...

    @property
    def what(self) -> str: ...

    @property
    def trained(self) -> bool:
        """Whether another seed gives another scorer."""
        ...

    def fit(self, training: Pairs, validation: Pairs, seed: int) -> Scorer:
        """What is learned from examples of users who are not measured."""
        ...


@dataclass(frozen=True)
class VectorRival:
    """Frozen user vectors under the pair model; the item side is the same for all vectors."""

    world: World
    vectors: Representation
    trained: bool = True

    @property
    def name(self) -> str:
        return self.vectors.name

    @property
    def what(self) -> str:
        return self.vectors.what

    def fit(self, training: Pairs, validation: Pairs, seed: int) -> Scorer:
        """A pair model trained with binary cross-entropy, stopped by the validation users."""
        seeded(seed, self.world.threads)
        users = torch.from_numpy(self.vectors.at(training.moment))
        items = torch.from_numpy(self.world.catalogue.features(training.moment))
        model = PairModel(users[np.unique(training.users)], items, self.world.settings.hidden)
        labels = torch.from_numpy(training.labels.astype(np.float32))
        of_user, of_item = torch.from_numpy(training.users), torch.from_numpy(training.items)

        def loss(places: torch.Tensor) -> torch.Tensor:
            logits = model(users[of_user[places]], items[of_item[places]])
            return binary_cross_entropy_with_logits(logits, labels[places])

        truth = torch.from_numpy(validation.labels.astype(np.float32))

        def validation_loss() -> torch.Tensor:
            logits = torch.from_numpy(self._scores(model, validation))
            return binary_cross_entropy_with_logits(logits, truth)

        train(model, loss, len(labels), validation_loss, self.world.settings, seed)
        return lambda pairs: self._scores(model, pairs)

    def _scores(self, model: PairModel, pairs: Pairs) -> Floats:
        """Each user and item goes through its MLP once."""
        users, of_user = np.unique(pairs.users, return_inverse=True)
        items, of_item = np.unique(pairs.items, return_inverse=True)
        with torch.no_grad():
            user_side = model.users(torch.from_numpy(self.vectors.at(pairs.moment)[users])).numpy()
            item_side = model.items(torch.from_numpy(self.world.catalogue.features(pairs.moment)[items])).numpy()
        scores: Floats = np.einsum("nd,nd->n", user_side[of_user], item_side[of_item])
        return scores
