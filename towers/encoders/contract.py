"""What every user encoder is: a module with two functions, and a trained model with one.

``fit(source, config, work)`` learns from ``source.users(source.training, …)`` alone and writes its files under
``work.folder``, those that decide its vectors as safetensors; it goes on from ``work.checkpoint_dir``.
``load(folder)`` reads them back. ``encode(users)`` is a pure function of each user by itself.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from graphkit.artefacts import StageWork
from graphkit.config import Config
from towers.encoders.source import Source
from towers.encoders.users import Users

Floats = npt.NDArray[np.float32]


class Encoder(Protocol):
    """A trained encoder."""

    @property
    def dim(self) -> int:
        """The width of its vectors."""

    def encode(self, users: Users) -> Floats:
        """A vector a user, float32 [users.count, dim], zeros for a user of whom nothing is known.

        Neither the other users nor their order matter, but for rounding.
        """


class EncoderModule(Protocol):
    """The module behind an encoder's name."""

    def fit(self, source: Source, config: Config, work: StageWork) -> None:
        """Train, write the model's files into ``work``, and note metrics."""

    def load(self, folder: Path) -> Encoder:
        """The model of a finished ``fit``."""
