"""Keras two-tower model, vector indexes and the serving bundle.

``train_towers`` and ``export_bundle`` are the public functions; both load TensorFlow when called.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from towers.export import export_bundle
    from towers.fit import train_towers

__all__ = ["export_bundle", "train_towers"]

_HOMES = {"export_bundle": "towers.export", "train_towers": "towers.fit"}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'towers' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOMES[name]), name)
