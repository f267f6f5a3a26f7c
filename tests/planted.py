"""Leaks planted in a finished workspace: a file is changed and its hash too, so that it looks honest."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from safetensors.numpy import load_file, save_file

from graphkit import audit_leakage
from graphkit.artefacts import Workspace, sha256_file
from graphkit.audit.finding import Finding


def leaks(root: Path) -> list[Finding]:
    """What the audit calls leaks."""
    return [finding for finding in audit_leakage(Workspace(root)) if finding.is_leak]


def only_leak(root: Path) -> Finding:
    """The one leak there must be."""
    found = leaks(root)
    assert [finding.check for finding in found] == [finding.check for finding in found[:1]]
    assert found
    return found[0]


def folder(root: Path, stage: str) -> Path:
    """The folder of a stage's current batch."""
    return Workspace(root).current(stage).folder


def edit_table(root: Path, stage: str, name: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Change a Parquet table of the current batch."""
    path = folder(root, stage) / name
    change(pl.read_parquet(path)).write_parquet(path)
    rehash(path.parents[len(Path(name).parts) - 1], name)


def edit_tensors(root: Path, stage: str, name: str, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    """Change tensors of the current batch in place."""
    path = folder(root, stage) / name
    tensors = {key: value.copy() for key, value in load_file(path).items()}
    change(tensors)
    save_file(tensors, path)
    rehash(path.parents[len(Path(name).parts) - 1], name)


def edit_json(root: Path, stage: str, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a JSON file of the current batch; the manifest itself needs no hash."""
    path = folder(root, stage) / name
    body = json.loads(path.read_text())
    change(body)
    path.write_text(json.dumps(body))
    if name != "manifest.json":
        rehash(path.parent, name)


def rehash(batch: Path, name: str) -> None:
    manifest = json.loads((batch / "manifest.json").read_text())
    manifest["files"][name] = sha256_file(batch / name)
    (batch / "manifest.json").write_text(json.dumps(manifest))


def named_rows(root: Path) -> pl.DataFrame:
    """All interactions, with external ids."""
    dataset = folder(root, "dataset")
    users, items = (pl.read_parquet(dataset / f"{name}.parquet") for name in ("users", "items"))
    rows = pl.read_parquet(dataset / "interactions/*.parquet")
    rows = rows.join(users.select("user", "user_id"), on="user", maintain_order="left")
    ids = items.select("item_type", "item", "item_id")
    return rows.join(ids, on=["item_type", "item"], maintain_order="left")


def change_example(root: Path, place: int = 5, **values: object) -> None:
    """Change columns of one of the towers' training examples."""
    at = pl.int_range(pl.len()) == place
    edit_table(
        root,
        "towers",
        "examples.parquet",
        lambda frame: frame.with_columns(
            pl.when(at).then(pl.lit(value, frame.schema[name])).otherwise(name).alias(name)
            for name, value in values.items()
        ),
    )
