"""A row of the table: what it is called, what it does, and how to get at the models behind it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from graphkit.evaluation.recommender import Recommender

#: (target type, ``warm`` or ``cold``).
Cell = tuple[str, str]


@dataclass(frozen=True)
class Part:
    """A model and the cells it is for; None: all. ``load`` reads or fits it, so that one is held at a time."""

    load: Callable[[], Recommender]
    cells: frozenset[Cell] | None = None


@dataclass(frozen=True)
class Entry:
    """A row of the table. A trained model has one run per training seed, whose figures are averaged; a peer has one
    run, of several parts where its settings were tuned per cell."""

    name: str
    what: str
    runs: tuple[tuple[Part, ...], ...]
    trained: bool = False
