"""Which optional library is installed: it decides which peers there can be. Loads nothing."""

from __future__ import annotations

import importlib.util

from graphkit.artefacts.spec import version


def has_lightfm() -> bool:
    """Whether LightFM can be imported."""
    return importlib.util.find_spec("lightfm") is not None


def peer_inputs() -> dict[str, str]:
    """What the ``peers`` batch is made from beside settings and data: LightFM's version, or that it is not there."""
    return {"lightfm": version("lightfm") if has_lightfm() else "not installed"}
