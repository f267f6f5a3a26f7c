"""Adam, the same under every back end and for several processes."""

from __future__ import annotations

from typing import Any

from towers.backend import keras
from towers.team import Team


class SummedAdam(keras.optimizers.Adam):  # type: ignore[misc]  # keras ships no types
    """Keras's Adam on each gradient's sum over the processes of ``team``.

    TensorFlow has the gradient of an embedding as a list of rows, and Keras's Adam would square every row by itself
    where an embedding is met more than once in a batch; torch squares their sum. Here both do.
    """

    def __init__(self, learning_rate: float, team: Team) -> None:
        super().__init__(learning_rate, name="adam")
        self._team = team

    def apply(self, grads: Any, trainable_variables: Any = None) -> Any:
        whole = [_dense(gradient) for gradient in grads]
        for gradient in whole:
            self._team.sum(gradient)
        return super().apply(whole, trainable_variables)


def _dense(gradient: Any) -> Any:
    if keras.backend.backend() != "tensorflow":
        return gradient
    import tensorflow as tf

    return tf.convert_to_tensor(gradient)
