"""Small listening logs as dataset artefacts, and a count of their co-listening by plain loops."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import combinations
from pathlib import Path
from typing import NamedTuple, cast

import polars as pl

from graphkit import schemas
from graphkit.artefacts import Batch, Manifest, StageSpec, Workspace
from graphkit.config import load_config
from graphkit.datasets.store import Dataset, DatasetMeta, write_meta

DAY_0 = datetime(2024, 1, 1, tzinfo=UTC)
TYPES = ("audiobook", "podcast", "track")
NUM_ITEMS = {"audiobook": 4, "podcast": 5, "track": 3}
NUM_USERS = 8


class Row(NamedTuple):
    """One strong or weak interaction, ``minute`` minutes after the start (None: no timestamps)."""

    user: int
    item_type: str
    item: int
    minute: int | None = 0
    split: str = schemas.TRAIN
    signal: str = "stream"


def day(number: float) -> datetime:
    return DAY_0 + timedelta(days=number)


def meta_of(cutoff_day: float | None = None, label_day: float | None = None) -> DatasetMeta:
    return DatasetMeta(
        name="log",
        types=TYPES,
        targets=("audiobook",),
        strong=("stream",),
        weak=("follow",),
        split="time" if cutoff_day is not None else "fixed",
        cutoff=None if cutoff_day is None else day(cutoff_day),
        label_start=None if label_day is None else day(label_day),
        num_users=NUM_USERS,
        num_items=NUM_ITEMS,
    )


def write_interactions(folder: Path, rows: Sequence[Row]) -> None:
    times = [None if row.minute is None else DAY_0 + timedelta(minutes=row.minute) for row in rows]
    frame = pl.DataFrame(
        {
            "user": pl.Series([row.user for row in rows], dtype=pl.UInt32),
            "item_type": pl.Series([row.item_type for row in rows], dtype=pl.String),
            "item": pl.Series([row.item for row in rows], dtype=pl.UInt32),
            "signal": pl.Series([row.signal for row in rows], dtype=pl.String),
            "timestamp": pl.Series(times, dtype=pl.Datetime("ms", "UTC")),
            "seconds": pl.Series([None] * len(rows), dtype=pl.Float32),
            "split": pl.Series([row.split for row in rows], dtype=pl.String),
        }
    )
    (folder / schemas.INTERACTIONS_DIR).mkdir(parents=True, exist_ok=True)
    frame.write_parquet(folder / schemas.INTERACTIONS_DIR / "part-00000.parquet")


def dataset_of(folder: Path, rows: Sequence[Row], meta: DatasetMeta) -> Dataset:
    """A dataset of interactions alone, without a manifest."""
    write_interactions(folder, rows)
    return Dataset(Batch(folder, cast(Manifest, None)), meta)


def workspace_of(
    root: Path, rows: Sequence[Row], meta: DatasetMeta, titles: str | None = None, language: str | None = None
) -> Workspace:
    """A workspace whose current dataset holds ``rows``; items are called ``<titles> <number>``."""
    workspace = Workspace(root)
    spec = StageSpec.of("dataset", load_config(), inputs={"rows": repr((rows, titles, language))})
    items = pl.DataFrame(
        [
            (kind, item, f"{kind}:{item}", titles and f"{titles} {item}", None, language, None, None)
            for kind, size in NUM_ITEMS.items()
            for item in range(size)
        ],
        schema={"item_type": pl.String, "item": pl.UInt32}
        | dict.fromkeys(("item_id", "title", "description", "language", "genre", "creator"), pl.String),
        orient="row",
    )
    with workspace.begin(spec) as work:
        write_interactions(work.folder, rows)
        items.write_parquet(work.path(schemas.ITEMS_FILE))
        write_meta(work.folder, meta)
        work.commit()
    return workspace


Node = tuple[str, int]
EdgeSet = dict[tuple[Node, Node], tuple[int, float]]


def count_by_hand(rows: Sequence[Row], min_support: int, weight: str, max_items: int) -> EdgeSet:
    """(node, node) to (support, weight), nodes in order; the most recent ``max_items`` of each user count."""
    latest: dict[int, dict[Node, int]] = defaultdict(dict)
    for row in rows:
        node = (row.item_type, row.item)
        latest[row.user][node] = max(row.minute or 0, latest[row.user].get(node, 0))
    support: Counter[tuple[Node, Node]] = Counter()
    listeners: Counter[Node] = Counter()
    for items in latest.values():
        kept = sorted(sorted(items, key=lambda node: -items[node])[:max_items])
        listeners.update(kept)
        support.update(combinations(kept, 2))
    return {
        pair: (n, float(n) if weight == "count" else n / math.sqrt(listeners[pair[0]] * listeners[pair[1]]))
        for pair, n in support.items()
        if n >= min_support
    }
