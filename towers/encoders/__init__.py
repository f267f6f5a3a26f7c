"""User encoders: from what is known of a user to one vector, each usable alone or as an input of the user tower.

One contract (``contract.py``): ``fit`` on what came before the label period, ``encode`` for any users and moment. An
encoder is a section of the configuration, a stage in ``graphkit.stages.ENCODERS`` and a module here, loaded by name:
PyTorch and TensorFlow never meet, since a process loads one encoder.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Final, cast

if TYPE_CHECKING:
    from towers.encoders.contract import EncoderModule

MODULES: Final = {
    "autoencoder": "towers.encoders.autoencoder.encoder",
    "clue": "towers.encoders.clue.clue",
    "simclr": "towers.encoders.clue.simclr",
    "shopperbert": "towers.encoders.shopperbert.shopperbert",
}


def encoder_module(name: str) -> EncoderModule:
    """The module of the encoder ``name``, with everything that it imports."""
    return cast("EncoderModule", import_module(MODULES[name]))
