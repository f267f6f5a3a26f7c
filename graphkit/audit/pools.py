"""The pairs that a pool of the user tower may hold: of train rows of its signals, or chosen on registering."""

from __future__ import annotations

from datetime import datetime

import polars as pl

from graphkit import schemas
from graphkit.audit.pairs import Ints, known_pairs
from graphkit.audit.run import AuditedRun, Period
from graphkit.histories import ONBOARDING, STRONG, WEAK, group_signals, weak_group


def pooled_groups(run: AuditedRun) -> list[str]:
    """The groups that the towers' settings have them pool, of each item type."""
    # Towers of an earlier graphkit pooled both.
    wanted = run.settings("towers", "towers").get("user_inputs", ("history", "weak"))
    apart = [weak_group(signal) for signal in run.meta.weak]
    groups = {"history": [STRONG], "weak": [WEAK], "weak-apart": apart, "onboarding": [ONBOARDING]}
    return [group for name, named in groups.items() if name in wanted for group in named]


def pool_pairs(run: AuditedRun, item_type: str, group: str, period: Period) -> Ints:
    """What a pool may hold as of the end of ``period``, as sorted keys."""
    if group == ONBOARDING:
        rows = _chosen(run, item_type, period.end)
    else:
        rows = run.train_rows(group_signals(group, run.meta.strong, run.meta.weak), period, item_type)
    return known_pairs(rows, run.meta.num_items[item_type])


def _chosen(run: AuditedRun, item_type: str, end: datetime | None) -> pl.LazyFrame:
    """Rows ``user``, ``item`` of the onboarding choices of users who registered before ``end``."""
    folder = run.batches["dataset"]
    users = pl.scan_parquet(folder.path(schemas.USERS_FILE))
    names = users.collect_schema().names()
    items = pl.scan_parquet(folder.path(schemas.ITEMS_FILE)).filter(pl.col(schemas.ITEM_TYPE) == item_type)
    if schemas.ONBOARDING_ITEMS not in names:
        return items.select(pl.col(schemas.ITEM).alias(schemas.USER), schemas.ITEM).head(0)
    if end is not None and schemas.REGISTERED_AT in names:
        users = users.filter((pl.col(schemas.REGISTERED_AT) < end).fill_null(True))
    chosen = users.select(schemas.USER, pl.col(schemas.ONBOARDING_ITEMS).alias(schemas.ITEM_ID))
    return chosen.explode(schemas.ITEM_ID).join(items, on=schemas.ITEM_ID).select(schemas.USER, schemas.ITEM)
