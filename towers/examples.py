"""Where every training example comes from: a table for audits, written beside the weights.

``examples.parquet`` has one row an example, by target type in the dataset's order, then ``user`` and ``item``:
``user`` u32, ``item_type``, ``item`` u32, ``timestamp`` (when the label was first met, null without
timestamps), ``validation`` (the user is held out of training), ``weak`` (weak signals alone made it),
``features_end`` (no later row is in the user's features; null: all of train), ``pooled_items`` u32 (history items
behind the features, the label left out) and ``vectors`` u64 (``digest`` of the user vectors beside the label; null
where the towers read none).
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl

from graphkit import schemas
from graphkit.parquet import GrowingTable
from graphkit.user_features import UserFeatures
from graphkit.user_vectors import digest
from towers.epochs import Task
from towers.labels import Labels

EXAMPLES_FILE: Final = "examples.parquet"
_TIME: Final = pl.Datetime("ms", "UTC")
#: Examples whose histories are looked at together.
_BLOCK: Final = 65_536


def write_examples(path: Path, task: Task, features_end: datetime | None) -> None:
    """Write the examples that ``task`` trains and validates on, some users at a time; ``features_end`` is where its
    user features end."""
    with GrowingTable(path) as table:
        for item_type in task.train:
            for low, high in _user_blocks(task.train[item_type]):
                sides = [
                    _side(task.feed.users, labels[item_type].between(low, high), validation)
                    for labels, validation in ((task.train, False), (task.validation, True))
                ]
                block = pl.concat(sides).sort(schemas.USER, schemas.ITEM)
                table.append(block.with_columns(pl.lit(features_end, _TIME).alias("features_end")))


def _user_blocks(labels: Labels) -> Iterator[tuple[int, int]]:
    """Ranges of all users, each with about so many training examples."""
    starts = np.unique(labels.users[_BLOCK::_BLOCK]).tolist()
    yield from zip([0, *starts], [*starts, labels.known.num_users], strict=True)


def _side(users: UserFeatures, labels: Labels, validation: bool) -> pl.DataFrame:
    num_examples = len(labels)
    pooled = users.pooled_items(labels.users, hide=(labels.item_type, labels.items))
    return pl.DataFrame(
        {
            schemas.USER: labels.users.astype(np.uint32),
            schemas.ITEM_TYPE: pl.repeat(labels.item_type, num_examples, eager=True),
            schemas.ITEM: labels.items.astype(np.uint32),
            schemas.TIMESTAMP: _moments(labels),
            "validation": pl.repeat(validation, num_examples, eager=True),
            "weak": np.zeros(num_examples, dtype=bool) if labels.weak is None else np.array(labels.weak),
            "pooled_items": pooled.astype(np.uint32),
            "vectors": digest(users.known_vectors(labels.users, hide=(labels.item_type, labels.items))),
        }
    ).with_columns(pl.col("vectors") if users.vectors else pl.lit(None, pl.UInt64).alias("vectors"))


def _moments(labels: Labels) -> pl.Series:
    if labels.times is None:
        return pl.repeat(None, len(labels), dtype=_TIME, eager=True)
    return pl.Series(np.array(labels.times)).cast(_TIME)
