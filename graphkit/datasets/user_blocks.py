"""Ranges of users that are read together, so that memory does not grow with the log: its rows are sorted by user."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import polars as pl

from graphkit import schemas
from graphkit.datasets.store import Dataset

#: Interactions that are read together, about.
_ROWS: Final = 4_000_000


def user_blocks(dataset: Dataset) -> Iterator[tuple[int, int]]:
    """Ranges ``(low, high)`` of users, each with about so many rows that a block of them fits."""
    num_users = dataset.meta.num_users
    rows = int(dataset.interactions().select(pl.len()).collect().item())
    step = max(1, num_users * _ROWS // max(rows, 1))
    for low in range(0, num_users, step):
        yield low, min(low + step, num_users)


def of_users(low: int, high: int) -> pl.Expr:
    """True for a row of the users from ``low`` up to ``high``."""
    user = pl.col(schemas.USER)
    return (user >= low) & (user < high)
