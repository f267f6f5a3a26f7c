"""Hybrid matrix factorisation (Kula 2015): an item is the sum of its own vector, its type's and its genres'.

LightFM is an optional dependency: ``pip install 'graphkit[lightfm]'``; it does not build on Python 3.12.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from scipy import sparse

from graphkit.evaluation.peers.optional import has_lightfm
from graphkit.evaluation.peers.peer import Peer, Setting
from graphkit.evaluation.peers.train_data import TrainData
from graphkit.evaluation.vector_models import DotProduct


@dataclass(frozen=True)
class HybridMfPeer(Peer):
    """LightFM with the WARP loss; validation chooses how many of the ``epochs`` to take."""

    epochs: int
    name: ClassVar = "Hybrid MF"
    what: ClassVar = "factorisation of all types with item type and genres as features, WARP loss (Kula 2015)"
    settings: ClassVar[tuple[Setting, ...]] = tuple(
        {"factors": factors, "learning_rate": rate, "l2": l2, "max_sampled": 10}
        for factors, rate, l2 in (
            (64, 0.05, 1e-4), (64, 0.05, 1e-5), (32, 0.05, 1e-4), (64, 0.05, 1e-3), (64, 0.1, 1e-4), (16, 0.05, 1e-5),
        )
    )  # fmt: skip

    def left_out(self, train: TrainData) -> str | None:
        if has_lightfm():
            return None
        return "LightFM is not installed: pip install 'graphkit[lightfm]' (it does not build on Python 3.12)"

    def fit(self, train: TrainData, setting: Setting, seed: int, threads: int) -> DotProduct:
        *_, (_, model) = self._train(train, setting, seed, [int(setting.get("epochs", self.epochs))])
        return model

    def path(
        self, train: TrainData, setting: Setting, seed: int, threads: int
    ) -> Iterator[tuple[Setting, DotProduct]]:
        """A model after each third of the epochs."""
        yield from self._train(train, setting, seed, sorted({max(1, self.epochs * part // 3) for part in (1, 2, 3)}))

    def _train(
        self, train: TrainData, setting: Setting, seed: int, stops: list[int]
    ) -> Iterator[tuple[Setting, DotProduct]]:
        from lightfm import LightFM

        features, likes = item_features(train), train.all_likes.tocoo()
        likes = sparse.coo_matrix((likes.data, likes.coords), shape=likes.shape)
        model = LightFM(
            no_components=int(setting["factors"]),
            loss="warp",
            learning_rate=setting["learning_rate"],
            item_alpha=setting["l2"],
            user_alpha=setting["l2"],
            max_sampled=int(setting["max_sampled"]),
            random_state=seed,
        )
        done = 0
        for stop in stops:
            # One thread: several write the same vectors in no fixed order.
            model.fit_partial(likes, item_features=features, epochs=stop - done, num_threads=1)
            done = stop
            yield {**setting, "epochs": stop}, self._model(train, model, features)

    def _model(self, train: TrainData, model: Any, features: Any) -> DotProduct:
        """A user's own bias moves all items alike and is left out; an item's is a factor of every user."""
        biases, vectors = model.get_item_representations(features)
        items = np.column_stack([vectors, biases]).astype(np.float32)
        _, users = model.get_user_representations()
        users = np.column_stack([users, np.ones(len(users))]).astype(np.float32)
        return DotProduct(self.name, users, {name: items[train.columns[name]] for name in train.targets})


def item_features(train: TrainData) -> Any:
    """Each item's own column, its type's and its genres': sparse 0/1 float32 [all items, features]."""
    num_items = train.all_likes.shape[1]
    kind = np.zeros((num_items, len(train.likes)), dtype=np.float32)
    for number, columns in enumerate(train.columns.values()):
        kind[columns, number] = 1
    blocks = [sparse.eye_array(num_items, dtype=np.float32), sparse.csr_array(kind)]
    if train.genres:
        blocks.append(sparse.vstack([train.genres[name] for name in train.likes]))
    features = sparse.csr_matrix(sparse.hstack(blocks, format="csr"))
    features.indices, features.indptr = features.indices.astype(np.int32), features.indptr.astype(np.int32)
    return features
