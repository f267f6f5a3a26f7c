"""Input normalisation, fitted on train: columns centred, blocks scaled, what is not known put at the mean."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from towers.encoders.autoencoder.spec import InputSpec

Floats = npt.NDArray[np.float32]
#: Normalised values further out are cut off.
LIMIT: Final = 10.0


class Normaliser(NamedTuple):
    """x to (x - mean) / scale: both float32 [dim]."""

    mean: Floats
    scale: Floats

    def __call__(self, rows: Floats) -> Floats:
        """Normalised rows [n, dim], zeros for what is not known, as the model computes them."""
        scaled = np.clip((rows - self.mean) / self.scale, -LIMIT, LIMIT)
        return np.where(np.isnan(rows), np.float32(0), scaled)


def fit_normaliser(rows: Floats, spec: InputSpec) -> Normaliser:
    """From the known values of ``rows`` [n, spec.dim].

    One scale a block, its root mean square over its weight: a vector keeps its shape, and a block weighs in the loss
    by its width and the square of its weight.
    """
    known = ~np.isnan(rows)
    count = known.sum(axis=0)
    mean = np.where(known, rows, 0).sum(axis=0, dtype=np.float64) / np.maximum(count, 1)
    square = np.where(known, (rows - mean.astype(np.float32)) ** 2, 0).sum(axis=0, dtype=np.float64)
    scale, first = np.ones(spec.dim), 0
    for _, width, weight in spec.blocks:
        of_block = slice(first, first + width)
        variance = square[of_block].sum() / max(int(count[of_block].sum()), 1)
        scale[of_block] = (np.sqrt(variance) if variance > 1e-12 else 1.0) / weight
        first += width
    return Normaliser(mean.astype(np.float32), scale.astype(np.float32))
