"""Tasks: are a user's nearest users alike? (KDD '24, 5.2.3 and table 4.) Nothing is trained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from graphkit.downstream.cluster_labels import LABELS
from graphkit.downstream.figures import Figure, MeanFigure
from graphkit.downstream.panel import sample_users
from graphkit.downstream.rivals import Rival
from graphkit.downstream.task import NotApplicable
from graphkit.downstream.world import World
from graphkit.evaluation.top_items import tie_order, top_items

#: Users whose neighbours are sought at a time.
_BLOCK: Final = 512

Floats = npt.NDArray[np.float32]
Longs = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Cluster:
    """Users who share a label, as of the cut-off, should be near each other."""

    label: str  # a key of ``cluster_labels.LABELS``

    @property
    def name(self) -> str:
        return f"cluster-{self.label}"

    @property
    def what(self) -> str:
        return (
            f"whether the nearest users by cosine share {LABELS[self.label].what}: nDCG over the nearest "
            "(as many as downstream.neighbours), a gain of 1 where they do"
        )

    def prepare(self, world: World) -> LabelledUsers | NotApplicable:
        """Every user with a label is a neighbour; those who share one with somebody are measured, up to
        ``downstream.max_users`` of them."""
        made = LABELS[self.label].read(world)
        if isinstance(made, str):
            return NotApplicable(made)
        members = np.flatnonzero(np.diff(made.indptr))
        labels = made[members]
        alike = _num_alike(labels)
        if not (alike > 0).any():
            return NotApplicable(f"no two users share {LABELS[self.label].what}")
        asked = np.flatnonzero(alike > 0)
        chosen = np.searchsorted(members, sample_users(members[asked], world.settings.max_users, world.seed))
        return LabelledUsers(world, members, labels, chosen, alike[chosen])

    def specialists(self, world: World, rivals: list[Rival]) -> list[Rival]:
        return []


@dataclass(frozen=True)
class LabelledUsers:
    """``members`` have ``labels`` (sparse 0/1 [members, labels]); ``asked`` are those who are measured."""

    world: World
    members: Longs
    labels: Any
    asked: Longs  # places among the members, ascending
    alike: Longs  # [asked] how many others share a label

    @property
    def users(self) -> Longs:
        return self.members[self.asked]

    @property
    def counts(self) -> dict[str, int]:
        return {"users with a label": len(self.members), "users who share one": len(self.asked)}

    def measure(self, rival: Rival) -> Mapping[str, Figure] | None:
        if rival.vectors is None:
            return None
        k = self.world.settings.neighbours
        near = nearest(rival.vectors.serve[self.members], self.asked, k, self.world.seed)
        gains = np.concatenate(
            [
                self._shared(self.asked[first : first + _BLOCK], near[first : first + _BLOCK])
                for first in range(0, len(near), _BLOCK)
            ]
        )
        return {f"nDCG@{k}": MeanFigure(ndcg(gains, self.alike), np.ones(len(self.asked)))}

    def _shared(self, asked: Longs, near: Longs) -> npt.NDArray[np.bool_]:
        """Whether the neighbours ``near`` [n, k] of ``asked`` [n] share a label with them; -1 shares none."""
        common = (self.labels[asked] @ self.labels.T).toarray() > 0
        shared: npt.NDArray[np.bool_] = np.take_along_axis(common, np.maximum(near, 0), axis=1) & (near >= 0)
        return shared


def _num_alike(labels: Any) -> Longs:
    """With how many other rows each row of ``labels`` (sparse 0/1 [n, labels]) shares a label: int64 [n]."""
    counts = [
        np.diff((labels[first : first + _BLOCK] @ labels.T).tocsr().indptr)
        for first in range(0, labels.shape[0], _BLOCK)
    ]
    return np.concatenate([np.zeros(0, np.int64), *counts]).astype(np.int64) - 1  # not oneself


def nearest(vectors: Floats, asked: Longs, k: int, seed: int) -> Longs:
    """The ``k`` rows of ``vectors`` [n, dim] nearest to each of the rows ``asked``, by cosine, without itself, best
    first: int64 [asked, k], -1 where there are no more. Equals are in a seeded order, and a row of zeros, of whom
    nothing is known, is as near to all."""
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), np.float32(1e-12))
    ties, found = tie_order(len(vectors), seed), []
    for first in range(0, len(asked), _BLOCK):
        rows = asked[first : first + _BLOCK]
        oneself = (np.arange(len(rows)), rows.astype(np.int32))
        found.append(top_items(unit[rows] @ unit.T, oneself, ties, k))
    return np.concatenate(found)


def ndcg(gains: npt.NDArray[np.bool_], num_relevant: Longs) -> npt.NDArray[np.float64]:
    """nDCG of binary ``gains`` [n, k], best first, where ``num_relevant`` [n] (at least 1) could be found: [n]."""
    discount = 1 / np.log2(np.arange(2, gains.shape[1] + 2))
    ideal = np.cumsum(discount)[np.minimum(num_relevant, gains.shape[1]) - 1]
    found: npt.NDArray[np.float64] = gains @ discount / ideal
    return found
