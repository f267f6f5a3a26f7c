"""Named float32 matrices in one safetensors file: how embeddings cross from stage to stage.

Names used: in ``hgnn`` ``embeddings.safetensors``: ``fit/<type>`` and ``serve/<type>`` [num_items, dim];
in ``towers`` ``item_vectors.safetensors``: ``<type>`` [num_items, dim] and ``user_vectors.safetensors``:
``user`` [num_users, dim]; in ``pooled_vectors.safetensors`` ``<type>`` [num_items, dim], where the user tower pools
other vectors than the ``hgnn`` stage's; in ``input_vectors.safetensors`` ``<name>`` [num_users, dim], where the user
tower reads vectors of users.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

EMBEDDINGS_FILE: Final = "embeddings.safetensors"
ITEM_VECTORS_FILE: Final = "item_vectors.safetensors"
USER_VECTORS_FILE: Final = "user_vectors.safetensors"
POOLED_VECTORS_FILE: Final = "pooled_vectors.safetensors"
INPUT_VECTORS_FILE: Final = "input_vectors.safetensors"

Vectors = dict[str, npt.NDArray[np.float32]]


def save_vectors(path: Path, vectors: Vectors) -> None:
    """Write the matrices as contiguous float32."""
    save_file({name: np.ascontiguousarray(matrix, dtype=np.float32) for name, matrix in vectors.items()}, path)


def load_vectors(path: Path) -> Vectors:
    """All matrices of a file."""
    return dict(load_file(path))
