"""The network (paper 3.2.3, 3.3.3): an encoder and a decoder of SELU layers around a narrow vector."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from graphkit.config.autoencoder import AutoencoderSection
from towers.backend import keras, ops, to_numpy
from towers.encoders.autoencoder.normaliser import LIMIT, Normaliser
from towers.encoders.autoencoder.spec import FEATURES

_EPSILON: Final = 1e-6

Tensors = dict[str, npt.NDArray[Any]]


class Normalise(keras.layers.Layer):  # type: ignore[misc]  # keras ships no types
    """Rows as the network takes them; what is not known becomes the mean, 0."""

    def build(self, shape: Any) -> None:
        self.mean = self.add_weight(shape=shape[-1:], initializer="zeros", trainable=False, name="mean")
        self.scale = self.add_weight(shape=shape[-1:], initializer="ones", trainable=False, name="scale")

    def call(self, rows: Any) -> Any:
        missing = ops.isnan(rows)
        known = ops.where(missing, self.mean, rows)
        return ops.clip((known - self.mean) / self.scale, -LIMIT, LIMIT)


class Autoencoder(keras.Model):  # type: ignore[misc]  # keras ships no types
    """Raw rows [n, dim] to the residual x - f_dec(f_enc(x)) of the normalised ones [n, dim]."""

    def __init__(self, dim: int, settings: AutoencoderSection) -> None:
        super().__init__(name="autoencoder")
        rows = keras.Input((dim,), name=FEATURES, dtype="float32")
        self.normalise = Normalise(name="normalise")
        self.dropouts: list[Any] = []
        hidden = self.normalise(rows)
        for i, width in enumerate(settings.hidden):
            hidden = self._selu(width, f"encoder_{i}", settings.dropout)(hidden)
        vector = keras.layers.Dense(settings.out_dim, kernel_initializer="lecun_normal", name="vector")(hidden)
        self.encoder = keras.Model({FEATURES: rows}, vector, name="encoder")
        code = keras.Input((settings.out_dim,), name="code", dtype="float32")
        hidden = code
        for i, width in enumerate(reversed(settings.hidden)):
            hidden = self._selu(width, f"decoder_{i}", settings.dropout)(hidden)
        again = keras.layers.Dense(dim, kernel_initializer="lecun_normal", name="reconstruction")(hidden)
        self.decoder = keras.Model(code, again, name="decoder")
        self.build((None, dim))

    def _selu(self, width: int, name: str, dropout: float) -> Any:
        layer = keras.layers.Dense(width, activation="selu", kernel_initializer="lecun_normal", name=name)
        if not dropout:
            return layer
        self.dropouts.append(keras.layers.AlphaDropout(dropout, seed=len(self.dropouts), name=f"{name}_dropout"))
        return keras.Sequential([layer, self.dropouts[-1]], name=f"{name}_layer")

    def call(self, rows: Any, training: bool | None = None) -> Any:
        code = self.encoder({FEATURES: rows}, training=training)
        return self.normalise(rows) - self.decoder(code, training=training)

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        """Equation 2: the mean length of a user's residual."""
        return ops.mean(ops.sqrt(ops.sum(ops.square(y_pred), axis=-1) + _EPSILON))

    def normalise_by(self, normaliser: Normaliser) -> None:
        self.normalise.mean.assign(normaliser.mean)
        self.normalise.scale.assign(normaliser.scale)

    def seed_dropout(self, seed: int, epoch: int) -> None:
        """The dropout of an epoch depends on seed and epoch alone, so that a killed run goes on exactly."""
        for place, layer in enumerate(self.dropouts):
            state = np.random.default_rng([seed, epoch, place]).integers(2**31, size=2)
            layer.seed_generator.state.assign(state.astype("uint32"))

    def tensors(self) -> Tensors:
        """Every weight by its path."""
        return {weight.path: to_numpy(weight) for weight in self.weights}

    def set_tensors(self, tensors: Tensors) -> None:
        """Load what ``tensors`` returned."""
        for weight in self.weights:
            weight.assign(tensors[weight.path])
