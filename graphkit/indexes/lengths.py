"""Dot products as angles: vectors of unequal lengths get one more column, which makes all equally long.

Bachrach et al. 2014, "Speeding up the Xbox recommender system using a Euclidean transformation for inner-product
spaces", section 3: with M the greatest length, x becomes [x, sqrt(M^2 - |x|^2)] / M and a query q becomes [q, 0].
Their cosine is q.x / (M |q|), so that angles rank as dot products do.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from graphkit.indexes.base import Floats

#: Lengths that differ by less, relative to the greatest, are equal.
_TOLERANCE: Final = 1e-4


def greatest_length(vectors: Floats) -> float | None:
    """M, for vectors [n, dim] that need the column; None where all have one length (0 aside) and none is needed."""
    lengths = np.linalg.norm(vectors, axis=1)
    longest = float(lengths.max(initial=0))
    return None if longest > 0 and lengths.min() >= (1 - _TOLERANCE) * longest else longest


def as_directions(vectors: Floats, longest: float | None) -> Floats:
    """Unit vectors [n, dim], or [n, dim + 1] with the column; ``longest`` is what ``greatest_length`` gave."""
    if longest is None:
        units: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        return units
    scaled = vectors / np.float32(longest or 1)
    rest = np.sqrt(np.maximum(1 - np.einsum("nd,nd->n", scaled, scaled), 0))
    return np.concatenate([scaled, rest[:, None]], axis=1)


def as_query(query: Floats, longest: float | None) -> Floats:
    """The query [dim] for such vectors."""
    return query if longest is None else np.append(query, np.float32(0))
