"""The vectors in the metric of what they stand for.

Nothing in the loss says how long an axis of the narrow vector is, nor what its angles are: the decoder undoes
whatever the encoder does. So cosines of vectors, and models that read them, would depend on how the training happened
to go.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from towers.backend import to_numpy
from towers.encoders.autoencoder.model import Autoencoder
from towers.encoders.autoencoder.spec import FEATURES

_BLOCK: Final = 4096

Floats = npt.NDArray[np.float32]


def take_metric(model: Autoencoder, rows: Floats) -> None:
    """Map the encoder's vectors z to (z - mean) A, A = (B B')^1/2, where z B is the best linear reconstruction of the
    normalised ``rows`` [n, dim]: the inner products of vectors become those of reconstructions.

    The map is folded into the encoder's last layer; the decoder, which is not exported, stays as it was trained.
    """
    mean, linear = _linear_reconstruction(model, rows)
    values, axes = np.linalg.eigh(linear @ linear.T)
    root = (axes * np.sqrt(np.maximum(values, 0))) @ axes.T  # symmetric: no axis is turned further than it must
    layer = model.encoder.get_layer("vector")
    kernel, bias = (to_numpy(weight).astype(np.float64) for weight in layer.weights)
    layer.set_weights([(kernel @ root).astype(np.float32), ((bias - mean) @ root).astype(np.float32)])


def _linear_reconstruction(model: Autoencoder, rows: Floats) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """The mean vector [out_dim] and B [out_dim, dim], by least squares."""
    squares = products = np.zeros(())
    for first in range(0, len(rows), _BLOCK):
        block = rows[first : first + _BLOCK]
        z = to_numpy(model.encoder({FEATURES: block}, training=False)).astype(np.float64)
        x = to_numpy(model.normalise(block)).astype(np.float64)
        one = np.c_[z, np.ones(len(z))]
        squares, products = squares + one.T @ one, products + one.T @ x
    return squares[-1, :-1] / len(rows), np.linalg.lstsq(squares, products)[0][:-1]
