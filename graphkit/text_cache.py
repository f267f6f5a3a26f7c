"""Encoded texts on disk, by content hash, so that a rebuild encodes only what is new.

A folder holds the vectors of one model under one set of options, in part files that are written once,
atomically, and named by their own sha256. A part whose bytes no longer match its name is removed, never
trusted: its texts are encoded again.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save

from graphkit.artefacts import sha256_file

Floats = npt.NDArray[np.float32]


def text_key(text: str) -> bytes:
    """The sha256 of a text, by which the cache knows it."""
    return hashlib.sha256(text.encode()).digest()


def read_cache(folder: Path) -> dict[bytes, Floats]:
    """Text key to vector, of every whole part in ``folder``; damaged parts are deleted."""
    vectors: dict[bytes, Floats] = {}
    for path in sorted(folder.glob("*.safetensors")):
        if sha256_file(path) != path.stem:
            path.unlink()
            continue
        part = load_file(path)
        vectors |= zip((key.tobytes() for key in part["keys"]), part["vectors"], strict=True)
    return vectors


def add_to_cache(folder: Path, texts: Sequence[str], vectors: Floats) -> None:
    """Write the ``vectors`` [n, dim] of ``texts`` as one more part."""
    keys = np.frombuffer(b"".join(map(text_key, texts)), np.uint8).reshape(-1, 32)
    body = save({"keys": keys, "vectors": np.ascontiguousarray(vectors, np.float32)})
    name = hashlib.sha256(body).hexdigest()
    partial = folder / f".{name}.{os.getpid()}"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with partial.open("wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(folder / f"{name}.safetensors")
    finally:
        partial.unlink(missing_ok=True)
