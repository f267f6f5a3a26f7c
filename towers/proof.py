"""One thing that must hold of a bundle, held against what training gave."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final, Literal

import numpy as np

from graphkit.errors import GraphkitError
from graphkit.serving.bundle import Tower
from graphkit.user_features import Floats, UserFeatures, UserInputs
from towers.replay import BLOCK_SCORES, Replay

HOLDS: Final = "holds"
FAILED: Final = "FAILED"
NOT_CHECKED: Final = "not checked"
#: How far a coordinate of a vector, and a score, may be from training's.
TOLERANCE: Final = 1e-4
#: Odd sizes first: a tower exported for one batch size shows here. The rest goes in large ones.
_BATCH_SIZES: Final = (1, 7, 256)


@dataclass(frozen=True)
class Proof:
    """``what`` was looked at, ``checked`` times; ``worst`` is the largest deviation (of a recall: the figure found),
    ``allowed`` says how far it may go, and ``first`` is the first that offends."""

    what: str
    checked: str
    worst: float | None
    allowed: str
    verdict: Literal["holds", "FAILED", "not checked"]
    first: str = ""

    @property
    def failed(self) -> bool:
        return self.verdict == FAILED

    def require(self, where: str) -> Proof:
        """Itself; raises GraphkitError where it failed."""
        if self.failed:
            raise GraphkitError(
                f"the exported bundle does not give what training gave: {self.what}",
                where=where,
                expected=self.allowed,
                found=self.first,
                fix="run `graphkit train-towers` again, then `graphkit export`",
            )
        return self


def proof(what: str, checked: str, worst: float | None, allowed: str, offence: str) -> Proof:
    """``offence`` empty: it holds."""
    return Proof(what, checked, worst, allowed, FAILED if offence else HOLDS, offence)


def tower_vectors(tower: Tower, features: UserFeatures, replay: Replay) -> list[Floats]:
    """What ``tower`` gives the golden users under each pattern, inputs rebuilt from ``features``: each [n, dim]."""
    inputs, found = features.inputs(replay.users), []
    for pattern in replay.patterns:
        hidden = pattern.of(inputs, features.spec)
        blocks = (_rows(hidden, rows) for rows in _blocks(len(replay.users)))
        found.append(np.concatenate([tower(block) for block in blocks]))
    return found


def same_vectors(what: str, found: list[Floats], replay: Replay) -> Proof:
    """The largest difference of any coordinate between ``found`` and the stored vectors."""
    worst, offence = 0.0, ""
    for pattern, vectors, expected in zip(replay.patterns, found, replay.vectors, strict=True):
        apart = np.abs(vectors - expected).max(axis=1)
        worst = float(np.maximum(worst, apart.max()))  # keeps a NaN, which must fail, too
        stray = np.flatnonzero(~(apart <= TOLERANCE))
        if len(stray) and not offence:
            offence = f"user row {replay.users[stray[0]]}, {pattern.name}: {apart[stray[0]]:.3g} apart"
    return proof(what, _size(replay), worst, f"coordinates at most {TOLERANCE} apart", offence)


def same_ranking(item_type: str, found: list[Floats], items: Floats, replay: Replay) -> Proof:
    """Training's lists are the best of ``items`` for the vectors ``found``, too, up to ties.

    Worst is the largest difference of score between the item that training lists at a place and the one that belongs
    there by ``found``.
    """
    worst, offence = 0.0, ""
    height = max(1, BLOCK_SCORES // max(1, len(items)))
    for pattern, vectors, top in zip(replay.patterns, found, replay.top[item_type], strict=True):
        for start in range(0, len(vectors), height):
            scores = vectors[start : start + height] @ items.T
            listed = np.take_along_axis(scores, top[start : start + height].astype(np.int64), axis=1)
            length = listed.shape[1]
            best = -np.sort(-np.partition(scores, -length, axis=1)[:, -length:], axis=1)
            apart = np.abs(listed - best).max(axis=1)
            worst = float(np.maximum(worst, apart.max()))
            stray = np.flatnonzero(~(apart <= TOLERANCE))
            if len(stray) and not offence:
                user = replay.users[start + stray[0]]
                offence = f"user row {user}, {pattern.name}: the score at a place is {apart[stray[0]]:.3g} off"
    allowed = f"equal up to ties within {TOLERANCE} of score"
    return proof(f"ranking of {item_type}", _size(replay), worst, allowed, offence)


def _rows(inputs: UserInputs, rows: slice) -> UserInputs:
    return inputs._replace(**{name: column[rows] for name, column in inputs._asdict().items()})


def _size(replay: Replay) -> str:
    return f"{len(replay.users):,} users x {len(replay.patterns)} patterns"


def _blocks(count: int) -> list[slice]:
    stops, sizes = [0], iter(_BATCH_SIZES)
    while stops[-1] < count:
        stops.append(min(count, stops[-1] + next(sizes, _BATCH_SIZES[-1])))
    return [slice(start, stop) for start, stop in pairwise(stops)]
