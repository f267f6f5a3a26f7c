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
from graphkit.config.sections import GraphSection
from graphkit.datasets.days import write_days
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
    seconds: float | None = None


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
            "seconds": pl.Series([row.seconds for row in rows], dtype=pl.Float32),
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
    root: Path,
    rows: Sequence[Row],
    meta: DatasetMeta,
    titles: str | None = None,
    language: str | None = None,
    newcomer: str | None = None,
    first_user: int = 0,
) -> Workspace:
    """A workspace whose current dataset holds ``rows``; items are called ``<titles> <number>``.

    Users are ``user-0``, ``user-1``, … (or from ``first_user`` on); ``newcomer`` stands before them, as number 0.
    Ids of items are the same in every type.
    """
    workspace = Workspace(root)
    spec = StageSpec.of(
        "dataset", load_config(), inputs={"rows": repr((rows, titles, language, meta, newcomer, first_user))}
    )
    items = pl.DataFrame(
        [
            (kind, item, f"{item}", titles and f"{titles} {item}", None, language, None, None)
            for kind, size in meta.num_items.items()
            for item in range(size)
        ],
        schema={"item_type": pl.String, "item": pl.UInt32}
        | dict.fromkeys(("item_id", "title", "description", "language", "genre", "creator"), pl.String),
        orient="row",
    )
    names = ([newcomer] if newcomer else []) + [f"user-{first_user + number}" for number in range(meta.num_users)]
    users = pl.DataFrame({"user": range(meta.num_users), "user_id": names[: meta.num_users]}).cast(
        {"user": pl.UInt32}
    )
    with workspace.begin(spec) as work:
        write_interactions(work.folder, rows)
        users.cast({"user": pl.UInt32}).write_parquet(work.path(schemas.USERS_FILE))
        items.write_parquet(work.path(schemas.ITEMS_FILE))
        write_days(work.folder)
        write_meta(work.folder, meta)
        work.commit()
    return workspace


Node = tuple[str, int]
EdgeSet = dict[tuple[Node, Node], tuple[int, float]]
DAY_MINUTES = 24 * 60


def count_by_hand(rows: Sequence[Row], rules: GraphSection) -> EdgeSet:
    """(node, node) to (support, weight) before pruning, nodes in order, by plain loops over ``rows``."""
    users = {user: _items_of(mine, rules) for user, mine in _by_user(rows, rules).items()}
    factor = {user: _user_weight(len(items), rules.heavy_users) for user, items in users.items()}
    total, shared, support = sum(factor.values()), defaultdict(float), Counter()
    for user, items in users.items():
        for node, (weight, _) in items.items():
            shared[node, node] += factor[user] * weight**2
        for one, other in combinations(sorted(items), 2):
            (w_one, times), (w_other, other_times) = items[one], items[other]
            if _near(times, other_times, rules.max_gap_days):
                shared[one, other] += factor[user] * w_one * w_other
                support[one, other] += 1
    found = {}
    for (one, other), n in support.items():
        weight = _weight(rules.weight, shared[one, other], shared[one, one], shared[other, other], total)
        if n >= rules.min_support and weight > 0:
            found[one, other] = n, weight * n / (n + rules.shrinkage)
    return found


def _by_user(rows: Sequence[Row], rules: GraphSection) -> dict[int, list[tuple[Node, float, int]]]:
    """(node, weight, minute) of each row that counts."""
    found = defaultdict(list)
    for row in rows:
        plain = 1.0 if row.signal == "stream" else 0.0
        weight = rules.signal_weights.get(row.signal, plain)
        weight = rules.signal_weights.get(f"{row.item_type}.{row.signal}", weight)
        long_enough = rules.min_seconds == 0 or (row.seconds or 0) >= rules.min_seconds
        if weight and long_enough:
            found[row.user].append(((row.item_type, row.item), weight, row.minute or 0))
    return found


def _items_of(rows: list[tuple[Node, float, int]], rules: GraphSection) -> dict[Node, tuple[float, list[int]]]:
    """The heaviest weight and all minutes of the most recent items of a user."""
    nodes = {node for node, _, _ in rows}
    latest = {node: max(minute for n, _, minute in rows if n == node) for node in nodes}
    kept = sorted(nodes, key=lambda node: -latest[node])[: rules.max_items_per_user]
    return {
        node: (max(w for n, w, _ in rows if n == node), [minute for n, _, minute in rows if n == node])
        for node in kept
    }


def _near(minutes: list[int], others: list[int], max_gap_days: float | None) -> bool:
    if max_gap_days is None:
        return True
    return any(abs(one - other) <= max_gap_days * DAY_MINUTES for one in minutes for other in others)


def _user_weight(items: int, kind: str) -> float:
    return {"equal": 1.0, "log": 1 / math.log2(1 + items), "linear": 1 / items}[kind]


def _weight(kind: str, shared: float, one: float, other: float, total: float) -> float:
    if kind == "jaccard":
        return shared / (one + other - shared)
    lift = total * shared / (one * other)
    # A pair exactly at chance has no edge, whatever the last bit of the logarithm says.
    pmi = math.log(lift) if abs(lift - 1) > 1e-9 else 0.0
    return {"count": shared, "cosine": shared / math.sqrt(one * other), "lift": lift, "pmi": pmi}[kind]
