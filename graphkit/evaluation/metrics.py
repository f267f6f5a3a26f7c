"""Ranking metrics of one list per user, vectorised over users (paper Appendix A, equations 6-8)."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

#: Per-user metrics that every table has; a cell's figure is their mean over users.
USER_METRICS: Final = ("HR@10", "Recall@20", "NDCG@10", "MRR@100")
#: The mean over users of how unexpected a list is; whatever was hit.
NOVELTY: Final = "Novelty@10"
#: Metrics of all lists of a group together, by the length of list they look at.
COVERAGE: Final = {"Coverage@10": 10, "Coverage@100": 100}
GINI: Final = "Gini@10"
#: The longest list any metric looks at; the paper stops at 100 too.
LIST_LENGTH: Final = 100

DEFINITIONS: Final = {
    "HR@K": "share of users with at least one of their test items among the first K (paper, equation 6)",
    "Recall@K": "test items among the first K, divided by all test items of the user (not capped at K)",
    "NDCG@K": "binary gains, discount 1/log2(rank + 1); the ideal list holds min(K, test items) hits",
    "MRR@K": "1 / rank of the first test item, 0 if it comes after K (paper, equation 7)",
    "Novelty@K": "mean over the first K items of -log2((train users of the item + 1) / (users + 1)), in bits",
    "Coverage@K": "share of the catalogue of the type that is in at least one list of K (paper, equation 8)",
    "Gini@K": "Gini coefficient of how often each item of the catalogue is in a list of K: 0 all alike, 1 one alone",
}
_NAME: Final = re.compile(r"(HR|Recall|NDCG|MRR)@([1-9]\d?|100)")

Floats = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]


def is_user_metric(name: str) -> bool:
    """Whether ``name`` is HR, Recall, NDCG or MRR at a length from 1 to 100, as ``NDCG@20``."""
    return _NAME.fullmatch(name) is not None


def user_metrics(hits: Flags, num_positives: Counts, names: Sequence[str] = USER_METRICS) -> Floats:
    """The metrics ``names`` of each user: float64 [n, len(names)].

    ``hits`` bool [n, list length] says whether the item at each rank is a test item of the user, and
    ``num_positives`` int [n] (at least 1) how many test items the user has in all.
    """
    columns = []
    for name in names:
        metric, _, length = name.partition("@")
        columns.append(_METRICS[metric](hits[:, : int(length)], num_positives, int(length)))
    return np.stack(columns, axis=1)


def novelty(top: npt.NDArray[np.integer], num_listeners: Counts, num_users: int, length: int = 10) -> Floats:
    """Mean self-information of each list's first ``length`` items, in bits: float64 [n]; 0 for an empty list.

    ``top`` int [n, list length] holds items, -1 where there is none; ``num_listeners`` [num_items] counts the
    train users of each (Zhou et al. 2010, smoothed by one so that an unheard item is finite).
    """
    bits = -np.log2((np.append(num_listeners, 0) + 1) / (num_users + 1))  # the last one for -1
    listed = top[:, :length]
    there = listed >= 0
    found: Floats = np.where(there, bits[listed], 0).sum(axis=1) / np.maximum(there.sum(axis=1), 1)
    return found


def gini(exposure: Counts) -> float:
    """Gini coefficient of ``exposure`` [num_items], how often each item was listed; 0 where nothing was."""
    total, n = int(exposure.sum()), len(exposure)
    if not total:
        return 0.0
    rank = np.arange(1, n + 1)
    return float((2 * rank - n - 1) @ np.sort(exposure) / (n * total))


def _hit_rate(hits: Flags, _num_positives: Counts, _length: int) -> Floats:
    found: Floats = np.where(hits.any(axis=1), 1.0, 0.0)
    return found


def _recall(hits: Flags, num_positives: Counts, _length: int) -> Floats:
    return np.asarray(hits.sum(axis=1) / num_positives)


def _ndcg(hits: Flags, num_positives: Counts, length: int) -> Floats:
    discount = 1 / np.log2(np.arange(2, length + 2))
    ideal = np.cumsum(discount)[np.minimum(num_positives, length) - 1]
    ndcg: Floats = hits @ discount[: hits.shape[1]] / ideal
    return ndcg


def _reciprocal_rank(hits: Flags, _num_positives: Counts, _length: int) -> Floats:
    return np.where(hits.any(axis=1), 1 / (hits.argmax(axis=1) + 1.0), 0.0)


_METRICS: Final[dict[str, Callable[[Flags, Counts, int], Floats]]] = {
    "HR": _hit_rate,
    "Recall": _recall,
    "NDCG": _ndcg,
    "MRR": _reciprocal_rank,
}
