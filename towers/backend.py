"""Keras, imported once with its back end chosen: TensorFlow, unless KERAS_BACKEND says otherwise."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


@contextlib.contextmanager
def _native_messages_muted() -> Iterator[None]:
    """TensorFlow's C++ half greets on file descriptor 2 before any log level counts; no setting stops it."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


with _native_messages_muted():
    import keras
    from keras import ops

__all__ = ["keras", "ops", "prepare", "to_numpy"]


def prepare(seed: int, threads: int = 0) -> None:
    """Seed every generator, ask for deterministic kernels, and take ``threads`` CPU threads (0: every core).

    The thread count can only be set before TensorFlow has run anything in this process; after that it stays.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if threads:
            with contextlib.suppress(RuntimeError):
                tf.config.threading.set_intra_op_parallelism_threads(threads)
                tf.config.threading.set_inter_op_parallelism_threads(threads)
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(seed)


def to_numpy(tensor: Any) -> Any:
    """A back-end tensor or variable as a numpy array of its own."""
    return ops.convert_to_numpy(ops.copy(tensor))
