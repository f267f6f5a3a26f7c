"""Several processes that train the same towers, by torch's launcher and under Keras's torch back end:
``KERAS_BACKEND=torch python -m torch.distributed.run --nproc-per-node 2 -m cli train-towers``.

Keras 3 does not train under the workers of ``tf.distribute`` (``benchmarks/NOTES.md``). Every process draws the same
batches and computes the loss of its share of a batch's examples against all of the batch's columns; the gradients are
summed, so the result is that of one process up to rounding. Only the leader writes.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar

from graphkit.errors import ConfigError
from towers.backend import keras

T = TypeVar("T")


class Team(Protocol):
    """The processes of one training run, of which this is number ``rank`` of ``world``."""

    @property
    def rank(self) -> int: ...
    @property
    def world(self) -> int: ...
    @property
    def local_world(self) -> int: ...
    @property
    def leads(self) -> bool:
        """Whether this process is the one that writes."""

    def sum(self, tensor: Any, /) -> None:
        """Replace a tensor by its sum over the processes."""

    def share(self, make: Callable[[], T], /) -> T:
        """What ``make`` gives on the leader (anything JSON can hold), on every process."""


class Alone:
    """A process by itself."""

    rank, world, local_world, leads = 0, 1, 1, True

    def sum(self, tensor: Any, /) -> None:
        """Nothing to add."""

    def share(self, make: Callable[[], T], /) -> T:
        return make()


def team_of_environment() -> Team:
    """The team that ``torch.distributed.run`` describes in the environment; raises ConfigError under another back
    end than torch."""
    if os.environ.get("WORLD_SIZE", "1") == "1":
        return Alone()
    if keras.backend.backend() != "torch":
        raise ConfigError(
            "several processes train the towers under Keras's torch back end alone",
            expected="KERAS_BACKEND=torch",
            found=f"{os.environ['WORLD_SIZE']} processes and KERAS_BACKEND={keras.backend.backend()}",
            fix="set KERAS_BACKEND=torch, or start one process",
        )
    from graphkit.training import distributed

    return distributed.team_of_environment()


def joined(team: Team) -> AbstractContextManager[None]:
    """Let the processes of ``team`` exchange tensors within the block."""
    if team.world == 1:
        return contextlib.nullcontext()
    from graphkit.training import device, distributed

    return distributed.joined(distributed.team_of_environment(), device.choose_device("cpu"))
