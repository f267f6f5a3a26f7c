"""The serving bundle: popular items, histories and what was seen, all from train rows before the cut-off."""

from __future__ import annotations

from datetime import timedelta
from functools import partial
from typing import Any, Final

import numpy as np
import polars as pl
from safetensors import safe_open

from graphkit import schemas
from graphkit.audit.explain import is_item
from graphkit.audit.finding import Check, Facts, Outcome
from graphkit.audit.pairs import Ints, is_in, pair_keys
from graphkit.audit.pools import pool_pairs
from graphkit.audit.run import AuditedRun, Period, iso
from graphkit.bundle_format import BUNDLE_FILE, HISTORIES_FILE, POPULARITY_FILE, SEEN_FILE, BundleMeta
from graphkit.histories import ONBOARDING, group_signals

#: Histories' entries looked up together.
_BLOCK: Final = 4_000_000


def popularity_of_train(run: AuditedRun) -> Outcome:
    """The fallback's counts are the distinct train users of the last days before the cut-off."""
    batch = run.batches["bundle"]
    about = BundleMeta.model_validate_json(batch.path(BUNDLE_FILE).read_bytes())
    cutoff = run.meta.cutoff
    if about.cutoff != cutoff:
        why = f"made as of {iso(about.cutoff)}, the dataset's cut-off is {iso(cutoff)}"
        return Outcome(1, {"file": str(batch.path(BUNDLE_FILE)), "why": why})
    period = Period(cutoff - timedelta(days=about.popularity_days) if cutoff else None, cutoff)
    checked = 0
    with safe_open(batch.path(POPULARITY_FILE), framework="numpy") as tensors:
        for item_type in sorted(tensors.keys()):
            stored = tensors.get_tensor(item_type).astype(np.int64)
            counted = count_users(run, item_type, period)
            wrong = np.flatnonzero(stored != counted)
            if len(wrong):
                item = int(wrong[0])
                first = _popular(run, item_type, item, period)
                why = f"{stored[item]} users are stated; {counted[item]} have it in train rows of {period}"
                return Outcome(checked + item + 1, first | {"why": why} | _in(batch, POPULARITY_FILE))
            checked += len(stored)
    return Outcome(checked)


def count_users(run: AuditedRun, item_type: str, period: Period) -> Ints:
    """Distinct users of each item in strong train rows of a period: int64 [num_items]."""
    rows = run.train_rows(run.meta.strong, period, item_type)
    pairs = rows.select(schemas.USER, schemas.ITEM).unique()
    found = pairs.group_by(schemas.ITEM).len().collect(engine="streaming")
    counts = np.zeros(run.meta.num_items[item_type], dtype=np.int64)
    counts[found[schemas.ITEM].to_numpy()] = found["len"].to_numpy()
    return counts


def _popular(run: AuditedRun, item_type: str, item: int, period: Period) -> Facts:
    row = run.outside(period, run.meta.strong, is_item(item_type, item))
    return row or {schemas.ITEM_TYPE: item_type, schemas.ITEM_ID: run.item_id(item_type, item)}


def stored_histories_of_train(run: AuditedRun, file: str) -> Outcome:
    """Every item of every stored history comes from a train row of its user, type and signal group, before the
    cut-off and, where the user tower pools it, in the towers' history window; or was chosen before the cut-off."""
    batch, cutoff = run.batches["bundle"], run.meta.cutoff
    days = run.settings("towers", "towers")["history_days"] if file == HISTORIES_FILE else None
    period = Period(cutoff - timedelta(days=days) if cutoff and days else None, cutoff)
    checked = 0
    with safe_open(batch.path(file), framework="numpy") as tensors:
        for pool in sorted(name.removesuffix("/items") for name in tensors.keys() if name.endswith("/items")):  # noqa: SIM118  (it is no mapping)
            item_type, _, group = pool.rpartition("/")
            found, stray = _first_stray(run, tensors, pool, pool_pairs(run, item_type, group, period))
            checked += found
            if stray is not None:
                return Outcome(checked, _stray(run, item_type, group, stray, period) | _in(batch, file))
    return Outcome(checked)


def _first_stray(run: AuditedRun, tensors: Any, pool: str, known: Ints) -> tuple[int, tuple[int, int] | None]:
    """How many entries were looked at, and the first (user, item) that is not ``known``."""
    num_items = run.meta.num_items[pool.rpartition("/")[0]]
    indptr, items = tensors.get_tensor(f"{pool}/indptr").astype(np.int64), tensors.get_slice(f"{pool}/items")
    for start in range(0, int(indptr[-1]), _BLOCK):
        stop = min(start + _BLOCK, int(indptr[-1]))
        users = np.searchsorted(indptr, np.arange(start, stop), side="right") - 1
        met = items[start:stop]
        stray = np.flatnonzero(~is_in(pair_keys(users, met, num_items), known))
        if len(stray):
            at = int(stray[0])
            return start + at + 1, (int(users[at]), int(met[at]))
    return int(indptr[-1]), None


def _stray(run: AuditedRun, item_type: str, group: str, stray: tuple[int, int], period: Period) -> Facts:
    user, item = stray
    if group == ONBOARDING:
        why = f"among what the user chose, and not in users.parquet for a user registered before {iso(period.end)}"
        return run.named(user, item_type, item) | {"why": why}
    signals = group_signals(group, run.meta.strong, run.meta.weak)
    row = run.outside(period, signals, is_item(item_type, item) & (pl.col(schemas.USER) == user))
    why = f"in the user's history, and in no train row of {' or '.join(signals)} in {period}"
    why += "; the row named is outside of it" if row else "; nor in any other row"
    return (row or run.named(user, item_type, item)) | {"why": why}


def _in(batch: Any, file: str) -> Facts:
    return {"stored_in": str(batch.path(file))}


CHECKS = (
    Check("bundle", "popular items count train users before the cut-off", "items", popularity_of_train),
    Check(
        "bundle",
        "pooled histories are of train rows before the cut-off",
        "entries",
        partial(stored_histories_of_train, file=HISTORIES_FILE),
    ),
    Check(
        "bundle",
        "seen items are of train rows before the cut-off",
        "entries",
        partial(stored_histories_of_train, file=SEEN_FILE),
    ),
)
