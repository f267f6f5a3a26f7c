"""Ranking metrics of one list per user, vectorised over users (paper Appendix A, equations 6-8)."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

#: Per-user metrics, in the order of ``user_metrics``' columns; a cell's figure is their mean over users.
USER_METRICS: Final = ("HR@10", "Recall@20", "NDCG@10", "MRR@100")
#: Metrics of all lists together, by the length of list they look at.
COVERAGE: Final = {"Coverage@10": 10, "Coverage@100": 100}
#: The longest list any metric looks at; the paper stops at 100 too.
LIST_LENGTH: Final = 100

DEFINITIONS: Final = {
    "HR@10": "share of users with at least one of their test items among the first 10 (paper, equation 6)",
    "Recall@20": "test items among the first 20, divided by all test items of the user (not capped at 20)",
    "NDCG@10": "binary gains, discount 1/log2(rank + 1); the ideal list holds min(10, test items) hits",
    "MRR@100": "1 / rank of the first test item, 0 if it comes after 100 (paper, equation 7)",
    "Coverage@10": "share of the catalogue of the type that is in at least one list of 10",
    "Coverage@100": "share of the catalogue of the type in at least one list of 100 (paper, equation 8)",
}

Floats = npt.NDArray[np.float64]


def user_metrics(hits: npt.NDArray[np.bool_], num_positives: npt.NDArray[np.int64]) -> Floats:
    """HR@10, Recall@20, NDCG@10 and MRR@100 of each user: float64 [n, 4], columns as in ``USER_METRICS``.

    ``hits`` bool [n, list length] says whether the item at each rank is a test item of the user, and
    ``num_positives`` int [n] (at least 1) how many test items the user has in all.
    """
    return np.stack(
        [
            hits[:, :10].any(axis=1).astype(np.float64),
            hits[:, :20].sum(axis=1) / num_positives,
            _ndcg(hits[:, :10], num_positives),
            _reciprocal_rank(hits),
        ],
        axis=1,
    )


def _ndcg(hits: npt.NDArray[np.bool_], num_positives: npt.NDArray[np.int64]) -> Floats:
    discount = 1 / np.log2(np.arange(2, 12))
    ideal = np.cumsum(discount)[np.minimum(num_positives, 10) - 1]
    ndcg: Floats = hits @ discount[: hits.shape[1]] / ideal
    return ndcg


def _reciprocal_rank(hits: npt.NDArray[np.bool_]) -> Floats:
    return np.where(hits.any(axis=1), 1 / (hits.argmax(axis=1) + 1.0), 0.0)
