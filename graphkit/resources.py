"""Where presets (``configs/``), dataset cards (``data/``) and claims are, in a checkout and in a wheel."""

from __future__ import annotations

from pathlib import Path

_PACKAGE = Path(__file__).resolve().parent


def folder(name: str) -> Path:
    """The folder of bundled ``configs`` or ``data`` files."""
    installed = _PACKAGE / "resources" / name
    return installed if installed.is_dir() else _PACKAGE.parent / name


def claims_file() -> Path:
    """The bundled list of the papers' claims."""
    installed = _PACKAGE / "resources" / "claims.toml"
    return installed if installed.is_file() else _PACKAGE.parent / "benchmarks" / "claims.toml"
