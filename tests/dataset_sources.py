"""Small sources for import tests: one good log that a test can write in any format and then spoil."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from graphkit.artefacts import Batch, Workspace
from graphkit.config import load_config
from graphkit.datasets.ingest import import_dataset

DAY = 86_400
START = 1_700_000_000

CARD = """
name = "radio"
types = ["audiobook", "podcast"]
targets = ["audiobook"]
strong = ["stream"]
weak = ["follow"]

[interactions]
files = "plays.csv"
timestamp_unit = "s"

[items]
files = "items.csv"
"""


def items_frame() -> pl.DataFrame:
    """Eight items, half of them audiobooks; the last has no genre."""
    return pl.DataFrame(
        {
            "item_id": [f"i{n}" for n in range(8)],
            "item_type": ["audiobook"] * 4 + ["podcast"] * 4,
            "title": [f"Títle {n}, a “name”" for n in range(8)],
            "genre": ["crime|noir"] * 7 + [None],
        }
    )


def plays_frame() -> pl.DataFrame:
    """Seventy-two streams and follows of twelve users over sixty days; seconds are missing now and then."""
    rows = [
        {
            "user_id": f"u{u}",
            "item_id": f"i{n}",
            "item_type": "audiobook" if n < 4 else "podcast",
            "signal": "follow" if (u * n) % 5 == 1 else "stream",
            "timestamp": START + (7 * u + 13 * n) % 60 * DAY + 41 * u,
            "seconds": None if (u + n) % 4 == 0 else 60.5 + n,
        }
        for u in range(12)
        for n in range(8)
        if (u + n) % 4
    ]
    return pl.DataFrame(rows, schema_overrides={"seconds": pl.Float64})


def write_source(folder: Path, card: str = CARD) -> Path:
    """``plays.csv``, ``items.csv`` and ``card.toml`` in a new folder."""
    folder.mkdir(parents=True)
    plays_frame().write_csv(folder / "plays.csv")
    items_frame().write_csv(folder / "items.csv")
    (folder / "card.toml").write_text(card, encoding="utf-8")
    return folder


def import_source(folder: Path, *overrides: str, strict: bool = False) -> Batch:
    """Import ``folder`` by its own card into the workspace ``ws`` beside it."""
    workspace = Workspace(folder.parent / "ws")
    return import_dataset(workspace, folder / "card.toml", folder, load_config(overrides=overrides), strict)
