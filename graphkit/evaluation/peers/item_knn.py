"""Item-kNN: cosine of co-listening with shrinkage, where every item type votes for every other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from graphkit.compiled import compiled
from graphkit.evaluation.peers.peer import Peer, Setting
from graphkit.evaluation.peers.rows import over_rows, sparse_rows
from graphkit.evaluation.peers.train_data import TrainData
from graphkit.evaluation.recommender import Floats, Ints


@dataclass(frozen=True)
class ItemKnn:
    """Scores an item by the summed similarity of the user's strong train items, of every type, to it.

    ``likes`` is a sparse 0/1 matrix [num_users, all items]; ``similarity`` maps a target type to a sparse
    [all items, num_items], each column holding that item's nearest neighbours.
    """

    likes: Any
    similarity: dict[str, Any]
    name: str = "Item-kNN"

    def scores(self, users: Ints, item_type: str) -> Floats:
        """Summed similarity: float32 [n, num_items], 0 where no item of the user is a neighbour."""
        return sparse_rows(self.likes[users], self.similarity[item_type])


class ItemKnnPeer(Peer):
    """Item-kNN over how far a similarity of few users is shrunk, how many neighbours vote, and whose vote counts."""

    name: ClassVar = "Item-kNN"
    what: ClassVar = "summed cosine of the user's strong items of every type, with shrinkage"
    settings: ClassVar[tuple[Setting, ...]] = tuple(
        {"shrinkage": shrinkage, "neighbours": neighbours, "user_exponent": u, "target_exponent": t}
        for shrinkage, neighbours, u, t in (
            (50, 500, 0, 0.5), (2, 200, 0.5, 0.3), (10, 100, 0, 0.5), (100, 5000, 0, 0.5), (1, 500, 0.5, 0.3),
            (20, 200, 0, 0.5), (10, 500, 0.5, 0.5), (10, 500, 0.5, 0.3), (0, 50, 0, 0.5),
        )
    )  # fmt: skip

    def fit(self, train: TrainData, setting: Setting, seed: int, threads: int) -> ItemKnn:
        similarity = Similarity(
            shrinkage=setting["shrinkage"],
            neighbours=int(setting["neighbours"]),
            user_exponent=setting.get("user_exponent", 0.0),
            target_exponent=setting.get("target_exponent", 0.5),
        )
        return fit_item_knn(train.likes, train.targets, similarity, threads)


@dataclass(frozen=True)
class Similarity:
    """How alike two items are, and how many of the likest ones vote.

    similarity(i -> j) = w(users of both) / (w(users of i)^(1 - t) * w(users of j)^t + shrinkage), where w adds up
    n^-u over users with n items. With the defaults, u = 0 and t = 0.5, that is the cosine; a larger u trusts
    users of many items less, a smaller t favours popular items (asymmetric cosine, Aiolli 2013).
    """

    shrinkage: float
    neighbours: int
    user_exponent: float = 0.0
    target_exponent: float = 0.5


def fit_item_knn(
    likes: dict[str, Any], targets: tuple[str, ...], similarity: Similarity, threads: int = 1
) -> ItemKnn:
    """Fit on ``likes``, sparse 0/1 matrices [num_users, num_items] per type.

    An item keeps its most similar items of each type, and any that tie with the last: kept per type, so that a
    large type does not crowd out a small one.
    """
    data = TrainData(likes, targets)
    by_user = data.all_likes
    by_item = by_user.T.tocsr()  # a row per item: its users
    ends = np.array([0, *(columns.stop for columns in data.columns.values())], dtype=np.int64)
    user_weight = np.maximum(np.diff(by_user.indptr), 1.0) ** -similarity.user_exponent
    size = np.maximum(by_item @ user_weight, 1e-9)
    rule = _Rule(
        ends,
        user_weight.astype(np.float32),
        (size ** (1 - similarity.target_exponent)).astype(np.float32),
        (size**similarity.target_exponent).astype(np.float32),
        np.float32(similarity.shrinkage),
        similarity.neighbours,
    )
    return ItemKnn(by_user, {name: _similar(by_user, by_item, data.columns[name], rule, threads) for name in targets})


class _Rule(NamedTuple):
    """What a similarity is and which are kept."""

    ends: npt.NDArray[np.int64]  # [types + 1], where each type's items start and end
    user_weight: Floats  # [num_users]
    source_size: Floats  # [all items], the factor of the denominator of an item that votes
    target_size: Floats  # [all items], and of one that is voted for
    shrinkage: np.float32
    neighbours: int


def _similar(by_user: Any, by_item: Any, target: slice, rule: _Rule, threads: int) -> Any:
    """Similarity of every item to the items of ``target``: sparse float32 [all items, num target]."""

    def count(first: int, last: int) -> Any:
        rows = (target.start + first, target.start + last)
        return _nearest(by_user.indptr, by_user.indices, by_item.indptr, by_item.indices, *rows, rule)

    parts = over_rows(count, by_item.indptr[target.start : target.stop + 1], threads)
    counts, indices, weights = (np.concatenate(column) for column in zip(*parts, strict=True)) if parts else _NOTHING
    indptr = np.concatenate([[0], np.cumsum(counts)])
    shape = (by_item.shape[0], target.stop - target.start)
    return sparse.csc_array((weights, indices, indptr), shape=shape).tocsr()


_NOTHING = (np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.float32))


@compiled
def _nearest(users: Any, items: Any, item_ends: Any, item_users: Any, first: int, last: int, rule: Any) -> Any:
    """The neighbours of the items from ``first`` to ``last``: how many each has, which, and how similar."""
    num_items = len(item_ends) - 1
    shared = np.zeros(num_items, np.float32)
    met = np.empty(num_items, np.int32)
    weight = np.empty(num_items, np.float32)
    counts = np.zeros(last - first, np.int64)
    indices, weights = np.empty(1024, np.int32), np.empty(1024, np.float32)
    used = 0
    for item in range(first, last):
        found = _count(item, users, items, item_ends, item_users, rule.user_weight, shared, met)
        for k in range(len(rule.ends) - 1):
            kept = _strongest(item, rule.ends[k], rule.ends[k + 1], met[:found], shared, weight, rule)
            for j in range(found):
                other = met[j]
                if other == item or other < rule.ends[k] or other >= rule.ends[k + 1] or weight[j] < kept:
                    continue
                if used == len(indices):
                    indices = np.concatenate((indices, np.empty(used, np.int32)))
                    weights = np.concatenate((weights, np.empty(used, np.float32)))
                indices[used], weights[used] = other, weight[j]
                used += 1
                counts[item - first] += 1
        for j in range(found):
            shared[met[j]] = 0
    return counts, indices[:used].copy(), weights[:used].copy()


@compiled
def _count(
    item: int, users: Any, items: Any, item_ends: Any, item_users: Any, user_weight: Any, shared: Any, met: Any
) -> int:
    """Weigh the users that ``item`` shares with each other item; returns how many items were met."""
    found = 0
    for at in range(item_ends[item], item_ends[item + 1]):
        user = item_users[at]
        for entry in range(users[user], users[user + 1]):
            other = items[entry]
            if shared[other] == 0:
                met[found] = other
                found += 1
            shared[other] += user_weight[user]
    return found


@compiled
def _strongest(item: int, start: int, stop: int, met: Any, shared: Any, weight: Any, rule: Any) -> Any:
    """Weigh the met items of one type; returns the least weight that is among the ``neighbours`` largest."""
    of_type = np.empty(len(met), np.float32)
    size = 0
    for j in range(len(met)):
        other = met[j]
        if other != item and start <= other < stop:
            weight[j] = shared[other] / (rule.target_size[item] * rule.source_size[other] + rule.shrinkage)
            of_type[size] = weight[j]
            size += 1
    if size <= rule.neighbours:
        return np.float32(0)
    last = np.partition(of_type[:size], size - rule.neighbours)[size - rule.neighbours]
    return last * np.float32(1 - 1e-5)  # equal sums of weights differ by their rounding: still a tie
