"""Keras, imported once with its back end chosen: TensorFlow, unless KERAS_BACKEND says otherwise."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Iterator
from typing import Any

from graphkit.processor import has_bfloat16

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
if os.environ["KERAS_BACKEND"] == "torch":
    # Keras seeds TensorFlow too wherever it can import it, and the two libraries may not meet in one process.
    sys.modules["tensorflow"] = None  # type: ignore[assignment]


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
# It warns that a second shape of batches is compiled.
logging.getLogger("tensorflow").setLevel(logging.ERROR)

__all__ = ["choose_precision", "keras", "ops", "prepare", "tensorflow", "to_numpy"]


def tensorflow() -> Any:
    """The module, which Keras has loaded by now with its greeting muted.

    Raises ImportError where there is none, or torch is in its place.
    """
    import tensorflow as module

    return module


def prepare(seed: int, threads: int = 0, processes: int = 1) -> None:
    """Seed every generator, ask for deterministic kernels, and take ``threads`` CPU threads (0: every core, shared
    fairly with the other training ``processes`` of this machine).

    TensorFlow's thread count can only be set before it has run anything in this process; after that it stays.
    """
    if keras.backend.backend() == "torch":
        from graphkit.training import device

        device.prepare(device.choose_device("auto"), threads, processes)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if threads:
            with contextlib.suppress(RuntimeError):
                tf.config.threading.set_intra_op_parallelism_threads(threads)
                tf.config.threading.set_inter_op_parallelism_threads(threads)
        tf.config.experimental.enable_op_determinism()
    keras.utils.set_random_seed(seed)


def choose_precision(setting: str) -> str:
    """What training computes the towers' matrix products in; ``auto``: bfloat16 where the hardware has it."""
    if setting != "auto":
        return setting
    if keras.backend.backend() == "torch":
        from graphkit.training import device

        return device.precision_name(setting, device.choose_device("auto"))
    return "bfloat16" if has_bfloat16() else "float32"


def to_numpy(tensor: Any) -> Any:
    """A back-end tensor or variable as a numpy array of its own."""
    return ops.convert_to_numpy(ops.copy(tensor))
