"""What this machine has, what graphkit will use and why, and what to do about each problem."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Final, Literal

from graphkit.artefacts import Workspace
from graphkit.config import Config

Status = Literal["ok", "note", "problem"]
_NEEDED: Final = (
    "polars", "numpy", "scipy", "torch", "sentence-transformers", "tensorflow", "keras", "annoy", "voyager",
    "faiss-cpu", "onnxruntime",
)  # fmt: skip
_LOW_DISK_GIB: Final = 2


@dataclass(frozen=True)
class Finding:
    """One fact: fine, worth knowing, or a problem with its cure."""

    name: str
    status: Status
    found: str
    fix: str = ""


def examine(workspace: Workspace, config: Config) -> list[Finding]:
    """Every finding, in the order of the chain."""
    return [
        _python(),
        *_packages(),
        _cores(),
        _gpu(config),
        _neighbours(config),
        *_text_model(workspace, config),
        _disk(workspace.root),
    ]


def _python() -> Finding:
    version = platform.python_version()
    if (3, 11) <= sys.version_info[:2] <= (3, 12):
        return Finding("python", "ok", version)
    return Finding("python", "problem", version, "use Python 3.11 or 3.12")


def _packages() -> Iterator[Finding]:
    for name in _NEEDED:
        try:
            yield Finding(name, "ok", metadata.version(name))
        except metadata.PackageNotFoundError:
            yield Finding(name, "problem", "not installed", f"pip install {name}")


def _cores() -> Finding:
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return Finding("machine", "ok", f"{len(os.sched_getaffinity(0))} cores, {gib:.0f} GiB of memory")


def _gpu(config: Config) -> Finding:
    try:
        import torch
    except ImportError as error:
        return Finding("gpu", "problem", f"torch does not import: {error}", "reinstall torch")
    if torch.cuda.is_available():
        return Finding("gpu", "ok", torch.cuda.get_device_name(0))
    if config.hgnn.device == "cuda":
        return Finding("gpu", "problem", "hgnn.device is cuda and there is none", "set hgnn.device=cpu or auto")
    return Finding("gpu", "note", "none; training runs on the CPU")


def _neighbours(config: Config) -> Finding:
    from graphkit.errors import GraphkitError
    from graphkit.hgnn.neighbours import choose_neighbours
    from graphkit.training.device import choose_device

    try:
        name, why = choose_neighbours(config.hgnn.neighbours, choose_device(config.hgnn.device, where="hgnn.device"))
    except GraphkitError as error:
        return Finding("neighbour back end", "problem", error.problem, error.fix or "")
    return Finding("neighbour back end", "ok", f"{name}: {why}")


def _text_model(workspace: Workspace, config: Config) -> Iterator[Finding]:
    from graphkit.text import language_warning, text_model_status

    found, detail = text_model_status(config.text.model)
    if found:
        yield Finding("text model", "ok", detail)
    else:
        yield Finding("text model", "problem", detail, "name a bundled or local model with --set text.model=…")
    if workspace.has("dataset"):
        from graphkit.datasets.store import Dataset

        languages = Dataset.current(workspace).items()["language"].drop_nulls().unique().to_list()
        if warning := language_warning(config.text.model, sorted(languages)):
            yield Finding("languages", "note", warning)


def _disk(root: Path) -> Finding:
    existing = next(folder for folder in (root.resolve(), *root.resolve().parents) if folder.is_dir())
    free = shutil.disk_usage(existing).free / 2**30
    if not os.access(existing, os.W_OK):
        return Finding("workspace", "problem", f"{existing} cannot be written", "choose another --workspace")
    if free < _LOW_DISK_GIB:
        return Finding("workspace", "problem", f"{free:.1f} GiB free at {existing}", "free some disk space")
    return Finding("workspace", "ok", f"{free:.0f} GiB free at {existing}")
