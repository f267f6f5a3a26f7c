"""Implicit ALS: weighted matrix factorisation of who met what (Hu, Koren & Volinsky 2008)."""

from __future__ import annotations

from typing import ClassVar

from scipy import sparse
from threadpoolctl import threadpool_limits

from graphkit.evaluation.peers.peer import Peer, Setting
from graphkit.evaluation.peers.train_data import TrainData
from graphkit.evaluation.vector_models import DotProduct


class AlsPeer(Peer):
    """Implicit ALS over users and the items of every type; a met pair weighs ``alpha``, any other 1."""

    name: ClassVar = "ALS"
    what: ClassVar = "matrix factorisation of all types at once by implicit ALS (Hu et al. 2008)"
    settings: ClassVar[tuple[Setting, ...]] = tuple(
        {"factors": factors, "l2": l2, "alpha": alpha, "iterations": 15}
        for factors, l2, alpha in (
            (64, 300, 50), (64, 100, 10), (64, 1000, 50), (32, 300, 20), (128, 1000, 100), (16, 300, 20),
            (32, 30, 5), (128, 30, 10), (64, 10, 2),
        )
    )  # fmt: skip

    def fit(self, train: TrainData, setting: Setting, seed: int, threads: int) -> DotProduct:
        from implicit.cpu.als import AlternatingLeastSquares

        with threadpool_limits(1, "blas"):  # implicit shares out the users itself
            model = AlternatingLeastSquares(
                factors=int(setting["factors"]),
                regularization=setting["l2"],
                alpha=setting["alpha"],
                iterations=int(setting["iterations"]),
                num_threads=threads,
                random_state=seed,
            )
            model.fit(sparse.csr_matrix(train.all_likes), show_progress=False)
        items = {name: model.item_factors[train.columns[name]] for name in train.targets}
        return DotProduct(self.name, model.user_factors, items)
