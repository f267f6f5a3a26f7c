"""The one interface of a task: it prepares its examples once, then measures each row of the table on them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

from graphkit.downstream.figures import Figure
from graphkit.downstream.rivals import Rival
from graphkit.downstream.world import World

Longs = npt.NDArray[np.int64]


@dataclass(frozen=True)
class NotApplicable:
    """Why a task cannot be done on the data."""

    reason: str


class Prepared(Protocol):
    """A task's examples. All rows of the table are measured on the same users and examples."""

    @property
    def users(self) -> Longs:
        """The users that figures are over: int64 [n], ascending."""
        ...

    @property
    def counts(self) -> dict[str, int]:
        """How much there is of what."""
        ...

    def measure(self, rival: Rival) -> Mapping[str, Figure] | None:
        """A row's figures by metric, each over ``users``; None where the task is not for such a row."""
        ...


class Task(Protocol):
    """A task."""

    @property
    def name(self) -> str: ...

    @property
    def what(self) -> str:
        """What its figures mean."""
        ...

    def prepare(self, world: World) -> Prepared | NotApplicable: ...

    def specialists(self, world: World, rivals: list[Rival]) -> list[Rival]:
        """Rows of this task alone, beside ``rivals``."""
        ...
