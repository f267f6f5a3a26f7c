"""LightGCN (He et al. 2020): embeddings averaged over the user-item graph, and nothing else, trained by BPR.

It is linear, so its gradient is the same averaging: NumPy and a compiled sparse product are enough.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
from scipy import sparse

from graphkit.evaluation.peers.bpr import Adam, Longs, Triples, draw_negatives, loss_and_gradient, propagate
from graphkit.evaluation.peers.peer import Peer, Setting
from graphkit.evaluation.peers.train_data import TrainData
from graphkit.evaluation.recommender import Floats
from graphkit.evaluation.vector_models import DotProduct

#: Standard deviation of the first embeddings, as in the authors' code.
INITIAL: Final = 0.1
DIM: Final = 64


@dataclass(frozen=True)
class LightGcnPeer(Peer):
    """LightGCN over users and the items of every type; validation chooses how many of the ``epochs`` to take."""

    epochs: int
    name: ClassVar = "LightGCN"
    what: ClassVar = "embeddings propagated over the user-item graph of every type, BPR (He et al. 2020)"
    settings: ClassVar[tuple[Setting, ...]] = tuple(
        {"layers": layers, "l2": l2, "learning_rate": rate, "batches": 4}
        for layers, l2, rate in (
            (2, 1e-3, 0.1), (2, 1e-2, 0.1), (3, 1e-3, 0.1), (3, 1e-2, 0.05), (2, 1e-4, 0.05), (1, 1e-2, 0.1),
        )
    )  # fmt: skip

    def fit(self, train: TrainData, setting: Setting, seed: int, threads: int) -> DotProduct:
        epochs = int(setting.get("epochs", self.epochs))
        *_, (_, model) = self._train(train, setting, seed, threads, [epochs])
        return model

    def path(
        self, train: TrainData, setting: Setting, seed: int, threads: int
    ) -> Iterator[tuple[Setting, DotProduct]]:
        """A model after each third of the epochs."""
        stops = sorted({max(1, self.epochs * part // 3) for part in (1, 2, 3)})
        yield from self._train(train, setting, seed, threads, stops)

    def _train(
        self, train: TrainData, setting: Setting, seed: int, threads: int, stops: list[int]
    ) -> Iterator[tuple[Setting, DotProduct]]:
        layers = int(setting["layers"])
        adjacency, sampler = normalised_adjacency(train.all_likes), PairSampler.of(train)
        vectors = np.random.default_rng(seed).normal(0, INITIAL, (adjacency.shape[0], DIM)).astype(np.float32)
        vectors[np.diff(adjacency.indptr) == 0] = 0  # nobody knows them, and they know nobody
        adam = Adam(vectors.shape, setting["learning_rate"])
        for epoch in range(1, stops[-1] + 1):
            for triples in sampler.epoch(int(setting["batches"]), np.random.default_rng([seed, epoch])):
                _, gradient = loss_and_gradient(vectors, adjacency, triples, layers, setting["l2"], threads)
                adam.step(vectors, gradient, threads)
            if epoch in stops:
                model = self._model(train, propagate(adjacency, vectors, layers, threads))
                yield {**setting, "epochs": epoch}, model

    def _model(self, train: TrainData, final: Floats) -> DotProduct:
        items = final[train.num_users :]
        return DotProduct(self.name, final[: train.num_users], {t: items[train.columns[t]] for t in train.targets})


def normalised_adjacency(likes: Any) -> Any:
    """D^-1/2 A D^-1/2 of the graph of users, then items: sparse float32 [users + items, users + items]."""
    graph = sparse.block_array([[None, likes], [likes.T, None]], format="csr")
    degree = np.diff(graph.indptr)
    scale = (1 / np.sqrt(np.maximum(degree, 1))).astype(np.float32)
    graph.data = scale[np.repeat(np.arange(len(degree)), degree)] * scale[graph.indices]
    return graph


@dataclass(frozen=True)
class PairSampler:
    """Every train pair once an epoch, each with a negative of its own item type."""

    likes: Any  # sparse [num_users, all items], indices sorted
    users: Longs  # [pairs]
    low: Longs  # [pairs], where the type of the pair's item starts and ends
    high: Longs

    @classmethod
    def of(cls, train: TrainData) -> PairSampler:
        likes = train.all_likes.copy()
        likes.sort_indices()
        stops = np.array([columns.stop for columns in train.columns.values()])
        starts = np.array([columns.start for columns in train.columns.values()])
        kind = np.searchsorted(stops, likes.indices, side="right")
        users = np.repeat(np.arange(likes.shape[0]), np.diff(likes.indptr))
        return cls(likes, users, starts[kind], stops[kind])

    def epoch(self, num_batches: int, rng: np.random.Generator) -> Iterator[Triples]:
        """``num_batches`` batches of nodes: items come after users."""
        order = rng.permutation(len(self.users))
        for pairs in np.array_split(order, max(1, min(num_batches, len(order)))):
            users = self.users[pairs]
            negatives = draw_negatives(self.likes, users, self.low[pairs], self.high[pairs], rng)
            first = self.likes.shape[0]
            yield Triples(users, self.likes.indices[pairs].astype(np.int64) + first, negatives + first)
