"""What an import tells about the dataset it made."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from graphkit import schemas


def count_groups(rows: pl.DataFrame, targets: Sequence[str], strong: Sequence[str]) -> list[dict[str, Any]]:
    """Test users per target type: ``warm``, ``cold``, ``no_history``, and ``test_rows``, all by strong test rows.

    Warm users have a train row of the type, cold ones only of other types, the rest none at all.
    """
    train = rows.filter(pl.col(schemas.SPLIT) == schemas.TRAIN)
    known = train.select(schemas.USER).unique()
    test = rows.filter((pl.col(schemas.SPLIT) == schemas.TEST) & pl.col(schemas.SIGNAL).is_in(list(strong)))
    groups = []
    for target in targets:
        of_type = pl.col(schemas.ITEM_TYPE) == target
        mine = test.filter(of_type)
        users = mine.select(schemas.USER).unique()
        warm = users.join(train.filter(of_type).select(schemas.USER).unique(), on=schemas.USER).height
        any_history = users.join(known, on=schemas.USER).height
        groups.append(
            {
                "target": target,
                "warm": warm,
                "cold": any_history - warm,
                "no_history": users.height - any_history,
                "test_rows": mine.height,
            }
        )
    return groups


def count_types(rows: pl.DataFrame, catalogue: pl.DataFrame, types: Sequence[str]) -> list[dict[str, Any]]:
    """Per type: catalogue items, those with a row, users, train and test rows."""
    counted = []
    for item_type in types:
        mine = rows.filter(pl.col(schemas.ITEM_TYPE) == item_type)
        test = int((mine[schemas.SPLIT] == schemas.TEST).sum())
        counted.append(
            {
                "type": item_type,
                "items": catalogue.filter(pl.col(schemas.ITEM_TYPE) == item_type).height,
                "items_with_rows": mine[schemas.ITEM].n_unique(),
                "users": mine[schemas.USER].n_unique(),
                "train": mine.height - test,
                "test": test,
            }
        )
    return counted
