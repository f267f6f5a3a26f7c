"""The edges' and the towers' scores and what is popular in one: the ranking that the bundle serves."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from graphkit.blend.weights import BlendWeights
from graphkit.edge_weights.scorer import EdgeScorer
from graphkit.evaluation.groups import COLD, WARM
from graphkit.evaluation.recommender import Floats, Ints, Recommender


@dataclass(frozen=True)
class Blend:
    """The edges' and the towers' scores added up, each in units of its spread over the user's whole catalogue.

    score = edges / std(edges) + weight * towers / std(towers) + popularity weight * popular, where ``popular`` is
    ``popular_part`` of each type, float32 [num_items].
    """

    name: str
    edges: EdgeScorer
    towers: Recommender
    popular: Mapping[str, Floats]
    weights: BlendWeights

    def scores(self, users: Ints, item_type: str) -> Floats:
        """Blended scores: float32 [n, num_items]."""
        warm = self.edges.warm(users, item_type)
        edges, towers = (in_spreads(model.scores(users, item_type)) for model in (self.edges, self.towers))
        weight, popularity = (
            np.where(warm, *(weights[f"{item_type}/{group}"] for group in (WARM, COLD))).astype(np.float32)[:, None]
            for weights in (self.weights.towers, self.weights.popularity)
        )
        blended: Floats = edges + weight * towers + popularity * self.popular[item_type]
        return blended


def in_spreads(scores: Floats) -> Floats:
    """Each row over its standard deviation; a row of equal scores becomes zeros."""
    centred = scores - scores.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True)
    found: Floats = np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0)
    return found
