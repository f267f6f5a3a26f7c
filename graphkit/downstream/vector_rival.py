"""Frozen user vectors as a row of the table."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch

from graphkit.downstream.fit_pairs import fit_pairs
from graphkit.downstream.pair_model import VectorSide
from graphkit.downstream.pairs import Pairs
from graphkit.downstream.representations import Representation
from graphkit.downstream.rivals import Scorer
from graphkit.downstream.world import World


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
        return fit_pairs(self.world, lambda: self.side(training), training, validation, seed)

    def of_new_users(self) -> VectorRival | None:
        own = self.vectors.sign_up
        return None if own is None else replace(self, vectors=replace(self.vectors, fit=own, serve=own))

    def over(self, world: World) -> VectorRival:
        return replace(self, world=world)

    def side(self, training: Pairs) -> VectorSide:
        """The user side, inputs standardised over the training users."""
        tables = {moment.name: torch.from_numpy(self.vectors.at(moment.name)) for moment in self.world.moments}
        seen = torch.from_numpy(np.unique(training.users))
        return VectorSide(tables, training.moment, seen, self.world.settings.hidden)
