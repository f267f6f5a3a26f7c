"""Golden users: what the training process itself gives a sample of users, under every pattern of missing features.

``replay.safetensors`` holds ``users`` int64 [n], drawn by seed, in the order drawn; per pattern of
``graphkit.missing_inputs`` the vectors ``vectors/<pattern>`` float32 [n, dim] of the user tower as it was trained, in
memory; and per target type ``top/<type>/<pattern>`` int32 [n, 100], the best items of the whole catalogue by the dot
product, best first. The export copies the file, and whoever holds the bundle can replay it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from graphkit.errors import ArtefactError
from graphkit.missing_inputs import Pattern, missing_patterns
from graphkit.user_features import FeatureSpec, Floats, UserFeatures
from graphkit.vectors import Vectors
from towers.validation import top_columns

USERS: Final = 1000
LENGTH: Final = 100
#: Scores held at once.
BLOCK_SCORES: Final = 8_000_000

Items = npt.NDArray[np.int32]


@dataclass(frozen=True)
class Replay:
    """The stored sample; ``vectors`` and ``top`` (by target type) are in the order of ``patterns``."""

    users: npt.NDArray[np.int64]  # [n]
    patterns: tuple[Pattern, ...]
    vectors: tuple[Floats, ...]  # each [n, dim]
    top: dict[str, tuple[Items, ...]]  # each [n, at most 100]

    @classmethod
    def open(cls, path: Path, spec: FeatureSpec, targets: tuple[str, ...]) -> Replay:
        """Read a replay file; raises ArtefactError where it lacks a pattern of ``spec`` or a list of ``targets``."""
        patterns = missing_patterns(spec)
        try:
            stored = load_file(path)
            vectors = tuple(stored[_vectors(pattern)] for pattern in patterns)
            top = {t: tuple(stored[_top(t, pattern)] for pattern in patterns) for t in targets}
            return cls(stored["users"], patterns, vectors, top)
        except FileNotFoundError:
            problem = "is not there"
        except KeyError as missing:
            problem = f"has no {missing}"
        raise ArtefactError(
            "what training gave its golden users cannot be read",
            where=str(path),
            expected=f"vectors and lists under: {', '.join(pattern.name for pattern in patterns)}",
            found=f"the file {problem}",
            fix=f"remove {path.parent}, then run `graphkit train-towers` and `graphkit export` again",
        ) from None


def write_replay(path: Path, tower: Any, features: UserFeatures, item_vectors: Vectors, seed: int) -> None:
    """Write what the Keras model ``tower`` gives a seeded sample of ``USERS`` users (all, where there are fewer)."""
    from towers.infer import embed_users

    num_users = len(features.categorical)
    users = np.random.default_rng([seed, 2]).permutation(num_users)[:USERS].astype(np.int64)
    inputs = features.inputs(users)
    tensors: dict[str, Any] = {"users": users}
    for pattern in missing_patterns(features.spec):
        vectors = embed_users(tower, pattern.of(inputs, features.spec))
        tensors[_vectors(pattern)] = vectors
        for target, items in item_vectors.items():
            tensors[_top(target, pattern)] = best_items(vectors, items)
    save_file(tensors, path)


def best_items(vectors: Floats, items: Floats) -> Items:
    """The best ``LENGTH`` of ``items`` [num_items, dim] (all, if there are fewer) for each of ``vectors``."""
    rows = max(1, BLOCK_SCORES // max(1, len(items)))
    blocks = (vectors[start : start + rows] for start in range(0, len(vectors), rows))
    return np.concatenate([top_columns(block @ items.T, LENGTH) for block in blocks]).astype(np.int32)


def _vectors(pattern: Pattern) -> str:
    return f"vectors/{pattern.name}"


def _top(target: str, pattern: Pattern) -> str:
    return f"top/{target}/{pattern.name}"
