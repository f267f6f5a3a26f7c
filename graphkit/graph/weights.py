"""What an edge weighs. Every formula reads the same from both ends, so an edge weighs the same in each direction.

With y_ui the weight of user u's item i (1 unless signals or heavy users weigh differently), c_ij = Σ_u y_ui y_uj the
co-listening of i and j, c_i = Σ_u y_ui² that of an item with itself, and N = Σ_u a_u the weight of all users:

| kind | equation | why |
|---|---|---|
| count | c_ij | the plain number of shared users: favours popular pairs |
| cosine | c_ij / √(c_i c_j) | popularity taken out evenly at both ends (default) |
| jaccard | c_ij / (c_i + c_j - c_ij) | the shared part of either audience: harsher on pairs of unequal popularity |
| lift | N c_ij / (c_i c_j) | how many times as often as chance would have it: favours rare pairs, so shrink it |
| pmi | log lift, where above 0 | the same on a scale of information; pairs at or below chance are no edge |

Shrinkage λ multiplies any of them by s_ij / (s_ij + λ), with s_ij the users who share the pair: what rests on few
users counts for less.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import numpy.typing as npt

from graphkit.graph.kernel import LOG_PRODUCT, PRODUCT, RATIO, Formula

Kind = Literal["count", "cosine", "jaccard", "lift", "pmi"]


def formula(
    kind: Kind, src: npt.NDArray[np.float64], dst: npt.NDArray[np.float64], total: float, shrinkage: float
) -> Formula:
    """The weight ``kind`` for items of masses ``src`` and ``dst`` (c_i, c_j), with ``total`` = N."""
    if kind == "jaccard":
        return Formula(RATIO, src, dst, shrinkage)
    shape = LOG_PRODUCT if kind == "pmi" else PRODUCT
    return Formula(shape, _factor(kind, src, total), _factor(kind, dst, total), shrinkage)


def _factor(kind: Kind, mass: npt.NDArray[np.float64], total: float) -> npt.NDArray[np.float64]:
    if kind == "count":
        return np.ones_like(mass)
    # An item without users is in no pair: any number will do for it.
    present = np.where(mass > 0, mass, 1.0)
    return 1 / np.sqrt(present) if kind == "cosine" else np.sqrt(total) / present
