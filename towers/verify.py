"""The exported user tower, loaded back and compared with the vectors that training gave."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from graphkit.errors import GraphkitError
from graphkit.user_features import UserFeatures

Floats = npt.NDArray[np.float32]
Users = npt.NDArray[np.int64]

TOLERANCE: Final = 1e-4
#: Odd sizes first: a graph exported for one batch size shows here. The rest goes in large ones.
_BATCH_SIZES: Final = (1, 7, 256)
_BLANK_USERS: Final = 50


def verify_user_tower(onnx_path: Path, features: UserFeatures, expected: Floats, users: Users) -> float:
    """The largest absolute difference between ONNX outputs and ``expected`` [num_users, dim] over ``users``.

    Some users without any history are added to ``users``. Raises GraphkitError above 1e-4.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(onnx_path), options, providers=["CPUExecutionProvider"])
    names = {end.name for end in session.get_inputs()}
    largest = 0.0
    for batch in _batches(np.concatenate([_without_history(features)[:_BLANK_USERS], users])):
        feeds = {name: array for name, array in features.inputs(batch)._asdict().items() if name in names}
        (vectors,) = session.run(None, feeds)
        # numpy's maximum keeps a NaN, which must fail, too.
        largest = float(np.maximum(largest, np.abs(vectors - expected[batch]).max()))
    if not largest <= TOLERANCE:
        raise GraphkitError(
            "the exported user tower does not give the vectors that training gave",
            where=str(onnx_path),
            expected=f"a largest difference of at most {TOLERANCE}",
            found=f"{largest:.3g}",
            fix="run `graphkit train-towers` again, then `graphkit export`",
        )
    return largest


def _without_history(features: UserFeatures) -> Users:
    every = np.arange(len(features.categorical))
    return np.flatnonzero(features.pooled_items(every) == 0)


def _batches(users: Users) -> Iterator[Users]:
    start = 0
    for size in _BATCH_SIZES:
        if start < len(users):
            yield users[start : start + size]
        start += size
    while start < len(users):
        yield users[start : start + _BATCH_SIZES[-1]]
        start += _BATCH_SIZES[-1]
