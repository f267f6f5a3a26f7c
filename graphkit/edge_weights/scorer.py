"""Recommendations along the co-listening graph's edges, alone and together with the towers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from graphkit.evaluation.groups import COLD, WARM
from graphkit.evaluation.peers.rows import sparse_rows
from graphkit.evaluation.recommender import Floats, Ints, Recommender


@dataclass(frozen=True)
class EdgeScorer:
    """Scores an item by the summed weights of the edges from the user's strong train items, of every type, to it.

    ``likes`` is a sparse 0/1 CSR [num_users, all items], ``columns`` says where each type's items stand in it, and
    ``weights`` holds per (target type, ``warm`` or ``cold``) a sparse CSR [all items, num_items]. A user without a
    strong item of the target type is scored by the cold ones, which were fitted without such items.
    """

    likes: Any
    columns: Mapping[str, slice]
    weights: Mapping[tuple[str, str], Any]
    name: str = "Edge weights"

    def scores(self, users: Ints, item_type: str) -> Floats:
        """Summed weights: float32 [n, num_items], 0 where no edge leads from the user's items."""
        rows = self.likes[users]
        own = self.warm(users, item_type)
        out = np.zeros((len(users), self.weights[item_type, WARM].shape[1]), np.float32)
        for group, members in ((WARM, own), (COLD, ~own)):
            at = np.flatnonzero(members)
            if len(at):
                out[at] = sparse_rows(rows[at], self.weights[item_type, group])
        return out

    def warm(self, users: Ints, item_type: str) -> npt.NDArray[np.bool_]:
        """Which of ``users`` have a strong item of the type: bool [n]."""
        warm: npt.NDArray[np.bool_] = np.diff(self.likes[users][:, self.columns[item_type]].indptr) > 0
        return warm


@dataclass(frozen=True)
class Blend:
    """The edges' and the towers' scores added up, each in units of its spread over the user's whole catalogue.

    score = edges / std(edges) + weight * towers / std(towers), ``towers_weight`` by "type/group".
    """

    name: str
    edges: EdgeScorer
    towers: Recommender
    towers_weight: Mapping[str, float]

    def scores(self, users: Ints, item_type: str) -> Floats:
        """Blended scores: float32 [n, num_items]."""
        warm = self.edges.warm(users, item_type)
        by_group = (self.towers_weight[f"{item_type}/{group}"] for group in (WARM, COLD))
        weight = np.where(warm, *by_group).astype(np.float32)
        edges, towers = (_in_spreads(model.scores(users, item_type)) for model in (self.edges, self.towers))
        blended: Floats = edges + weight[:, None] * towers
        return blended


def _in_spreads(scores: Floats) -> Floats:
    """Each row over its standard deviation; a row of equal scores becomes zeros."""
    centred = scores - scores.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True)
    found: Floats = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)
    return found
