"""Models made for the next-item task alone, as CLUE's table 3 has them beside frozen vectors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import torch

from graphkit import schemas
from graphkit.downstream.fit_pairs import fit_pairs
from graphkit.downstream.moments import Moment
from graphkit.downstream.pairs import Pairs
from graphkit.downstream.rivals import Floats, Longs, Rival, Scorer
from graphkit.downstream.sequence_model import SequenceSide
from graphkit.downstream.vector_rival import VectorRival
from graphkit.downstream.world import World
from graphkit.evaluation.peers.lightgcn import LightGcnPeer
from graphkit.evaluation.peers.train_data import TrainData
from graphkit.evaluation.vector_models import DotProduct
from graphkit.graph.store import SERVE
from graphkit.parallel import thread_count


@dataclass(frozen=True)
class SequenceRival(Rival):
    """A Transformer over the user's latest items, trained on the task; with ``beside``, CLUE's hybrid."""

    world: World
    beside: VectorRival | None = None
    trained: bool = True

    @property
    def name(self) -> str:
        return "BST" if self.beside is None else f"BST + {self.beside.name}"

    @property
    def what(self) -> str:
        own = f"a Transformer over the user's last {self.world.settings.sequence_items} items, trained on the task"
        return own if self.beside is None else f"{own}, beside the frozen vectors {self.beside.name}: hybrid"

    def fit(self, training: Pairs, validation: Pairs, seed: int) -> Scorer:
        return fit_pairs(self.world, lambda: self._side(training), training, validation, seed)

    def _side(self, training: Pairs) -> SequenceSide:
        settings = self.world.settings
        latest = {moment.name: torch.from_numpy(latest_items(self.world, moment)) for moment in self.world.moments}
        beside = None if self.beside is None else self.beside.side(training)
        return SequenceSide(
            latest,
            self.world.item_tables,
            training.moment,
            settings.sequence_dim,
            settings.sequence_layers,
            settings.hidden[-1],
            beside,
        )


def latest_items(world: World, moment: Moment) -> Longs:
    """Each user's last distinct items before the moment, by strong or weak signals, oldest first: int64 [num_users,
    ``downstream.sequence_items``], -1 before the first where there are fewer."""
    length, rows = world.settings.sequence_items, moment.known(world.dataset, world.signals)
    met = rows.select(pl.col(schemas.USER).cast(pl.Int64), world.catalogue.column(), schemas.TIMESTAMP)
    last = met.group_by(schemas.USER, schemas.ITEM).agg(pl.col(schemas.TIMESTAMP).max())
    tie = pl.struct(schemas.USER, schemas.ITEM).hash(world.seed)
    ordered = last.with_columns(tie=tie).sort(schemas.USER, schemas.TIMESTAMP, "tie", descending=[False, True, False])
    kept = ordered.group_by(schemas.USER, maintain_order=True).head(length).collect()
    users = kept[schemas.USER].to_numpy()
    place = length - 1 - (np.arange(len(users)) - np.searchsorted(users, users))
    found = np.full((world.dataset.meta.num_users, length), -1, np.int64)
    found[users, place] = kept[schemas.ITEM].to_numpy()
    return found


@dataclass(frozen=True)
class LightGcnRival(Rival):
    """LightGCN on who met what before the cut-off (He et al. 2020): it has no examples but these, and no user vector
    as of another moment."""

    world: World
    trained: bool = True
    name: str = "LightGCN"
    what: str = "user and item vectors propagated over the graph of who met what by a strong signal in train, BPR"

    def fit(self, training: Pairs, validation: Pairs, seed: int) -> Scorer:
        world = self.world
        known, count = world.moments[1].known(world.dataset, world.strong), world.dataset.meta.num_users
        met = world.catalogue.matrix(known, count)
        likes = {name: met[:, world.catalogue.of_type(name)] for name in world.catalogue.starts}
        peer = LightGcnPeer(world.settings.lightgcn_epochs)
        train = TrainData(likes, tuple(likes))
        model = peer.fit(train, peer.settings[0], seed, thread_count(world.threads))
        return DotScorer(model, np.concatenate([model.item_vectors[name] for name in likes]))


@dataclass(frozen=True)
class DotScorer:
    """Vectors of users and items as they stand, as of ``serve`` (``Scorer``)."""

    model: DotProduct
    items: Floats  # [catalogue, dim]

    def pairs(self, pairs: Pairs) -> Floats:
        assert pairs.moment == SERVE  # it knows nothing of another
        found: Floats = np.einsum("nd,nd->n", self.model.user_vectors[pairs.users], self.items[pairs.items])
        return found

    def ranking(self, moment: str, users: Longs, items: slice) -> Floats:
        assert moment == SERVE
        found: Floats = self.model.user_vectors[users] @ self.items[items].T
        return found
