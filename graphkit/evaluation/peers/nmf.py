"""Non-negative matrix factorisation (Lee & Seung 1999), by scikit-learn."""

from __future__ import annotations

import warnings
from typing import ClassVar

import numpy as np
from threadpoolctl import threadpool_limits

from graphkit.evaluation.peers.peer import Peer, Setting
from graphkit.evaluation.peers.train_data import TrainData
from graphkit.evaluation.vector_models import DotProduct


class NmfPeer(Peer):
    """NMF of users and the items of every type: every pair weighs the same, met or not."""

    name: ClassVar = "NMF"
    what: ClassVar = "non-negative matrix factorisation of all types at once, squared error"
    settings: ClassVar[tuple[Setting, ...]] = tuple(
        {"components": components, "l2": l2, "iterations": 60}
        for components, l2 in ((32, 1e-3), (16, 3e-4), (64, 1e-3), (64, 3e-3), (32, 3e-4), (16, 0))
    )

    def fit(self, train: TrainData, setting: Setting, seed: int, threads: int) -> DotProduct:
        from sklearn.decomposition import NMF
        from sklearn.exceptions import ConvergenceWarning

        model = NMF(
            n_components=min(int(setting["components"]), *train.all_likes.shape),
            init="nndsvda",
            alpha_W=setting["l2"],
            l1_ratio=0,
            max_iter=int(setting["iterations"]),
            random_state=seed,
        )
        # The solver is one thread; more for its small products only wait for each other.
        with threadpool_limits(1, "blas"), warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the iterations are part of the setting
            users = model.fit_transform(train.all_likes)
        items = {name: np.ascontiguousarray(model.components_[:, train.columns[name]].T) for name in train.targets}
        return DotProduct(self.name, users, items)
