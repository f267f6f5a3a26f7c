"""User encoders, Keras two-tower model, vector indexes and the serving bundle.

``train_encoder``, ``train_towers``, ``export_bundle`` and ``verify_bundle`` are the public functions, ``UserEncoder``
a trained encoder for users by their ids; what they compute with (TensorFlow, PyTorch) is loaded when they are called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from towers.encoders.encode import UserEncoder
    from towers.encoders.scaling.stage import scale_encoder
    from towers.encoders.train import train_encoder
    from towers.export import export_bundle
    from towers.fit import train_towers
    from towers.verify import verify_bundle

__all__ = ["UserEncoder", "export_bundle", "scale_encoder", "train_encoder", "train_towers", "verify_bundle"]

_HOMES = {
    "UserEncoder": "towers.encoders.encode",
    "export_bundle": "towers.export",
    "scale_encoder": "towers.encoders.scaling.stage",
    "train_encoder": "towers.encoders.train",
    "train_towers": "towers.fit",
    "verify_bundle": "towers.verify",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'towers' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
