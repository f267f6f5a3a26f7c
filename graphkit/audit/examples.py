"""The towers' training examples: labels of the label period, features that end before it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Final

import numpy as np
import polars as pl

from graphkit import schemas
from graphkit.audit.finding import Check, Facts, Outcome
from graphkit.audit.pairs import Ints, is_in, pair_keys
from graphkit.audit.pools import pool_pairs, pooled_groups
from graphkit.audit.run import AuditedRun, Period, iso
from graphkit.histories import ONBOARDING
from graphkit.stages import vector_stage
from graphkit.user_vectors import UserVectors, digest, load_user_vectors
from graphkit.vectors import USER_VECTORS_FILE

EXAMPLES_FILE: Final = "examples.parquet"
_VALIDATION: Final = "validation"
_WEAK: Final = "weak"
_FEATURES_END: Final = "features_end"
_POOLED: Final = "pooled_items"
_VECTORS: Final = "vectors"
#: Examples whose vectors are looked at together.
_BLOCK: Final = 65_536
_KEY: Final = (schemas.USER, schemas.ITEM_TYPE, schemas.ITEM)


def labels_of_the_label_period(run: AuditedRun) -> Outcome:
    """Every label is a strong train row of the label period (without timestamps: of train), at the time it says; an
    example of weak signals a weak one."""
    period = _label_period(run)
    key = [*_KEY, schemas.TIMESTAMP]
    for weak, signals in ((False, run.meta.strong), (True, run.meta.weak)):
        rows = run.train_rows(signals, period).select(key)
        stray = _examples(run).filter(pl.col(_WEAK) == weak).join(rows, on=key, how="anti", nulls_equal=True)
        why = f"a label that is no train row of {' or '.join(signals) or 'a weak signal'} in {period}"
        outcome = _none_of(run, stray, why, period, signals)
        if outcome.first is not None:
            break
    return outcome


def labels_are_new(run: AuditedRun) -> Outcome:
    """With timestamps no label was met by a strong train row before the label period, and one that weak signals made
    by no row."""
    if run.meta.label_start is None:
        return Outcome(skipped="without timestamps every train row is a label")
    before = Period(end=run.meta.label_start)
    for weak, signals in ((False, run.meta.strong), (True, (*run.meta.strong, *run.meta.weak))):
        known = run.train_rows(signals, before).select(_KEY)
        met = _examples(run).filter(pl.col(_WEAK) == weak).join(known, on=_KEY, how="semi")
        first = _first(met)
        if first is not None:
            of_pair = pl.all_horizontal(pl.col(name) == first[name] for name in _KEY)
            earlier = run.train_rows(signals, before).filter(of_pair).sort(schemas.TIMESTAMP).head(1).collect()
            why = "a label that its user had before the label period, by the row named"
            return Outcome(_height(run), run.row_facts(earlier.row(0, named=True)) | {"why": why} | _stored(run))
    return Outcome(_height(run))


def sides_are_apart(run: AuditedRun) -> Outcome:
    """No user's examples are trained on and validated on."""
    examples = _examples(run)
    trained = examples.filter(~pl.col(_VALIDATION)).select(schemas.USER).unique()
    both = examples.filter(_VALIDATION).join(trained, on=schemas.USER, how="semi")
    return _none_of(run, both, "a validation example whose user is trained on too")


def features_end_in_time(run: AuditedRun) -> Outcome:
    """User features end where the label period starts (without timestamps: they are of train, with no end)."""
    end = run.meta.label_start
    late = pl.col(_FEATURES_END).is_not_null() if end is None else (pl.col(_FEATURES_END) > end).fill_null(True)
    after_label = (pl.col(_FEATURES_END) > pl.col(schemas.TIMESTAMP)).fill_null(False)
    why = f"features that end after the label, or after {iso(end)}, the start of the label period"
    return _none_of(run, _examples(run).filter(late | after_label), why)


def labels_are_not_pooled(run: AuditedRun) -> Outcome:
    """An example pools no more history items than its user has in train before the label period, its own label
    left out under every signal."""
    period = _history_period(run)
    checked = 0
    for item_type, most in _most_pooled(run, period).items():
        examples = _examples_of(run, item_type)
        wrong = np.flatnonzero(examples[_POOLED].to_numpy() > most)
        if len(wrong):
            at = int(wrong[0])
            why = f"{examples[_POOLED][at]} history items are pooled, {most[at]} are in train rows of {period}"
            why += ", the label itself left out"
            return Outcome(checked + at + 1, _example(run, examples.row(at, named=True)) | {"why": why})
        checked += examples.height
    return Outcome(checked)


def _history_period(run: AuditedRun) -> Period:
    days, end = run.settings("towers", "towers")["history_days"], run.meta.label_start
    return Period(end - timedelta(days=days) if end and days else None, end)


def _most_pooled(run: AuditedRun, period: Period) -> dict[str, Ints]:
    """How many history items each example of a target type may pool, over all pools, which are read one by one."""
    pairs = {item_type: _users_and_items(_examples_of(run, item_type)) for item_type in run.meta.targets}
    most = {item_type: np.zeros(len(users), dtype=np.int64) for item_type, (users, _) in pairs.items()}
    for pool_type in run.meta.types:
        for group in pooled_groups(run):
            known = pool_pairs(run, pool_type, group, period)
            cut = None if group == ONBOARDING else run.settings("towers", "towers")["max_history"]
            for item_type, (users, items) in pairs.items():
                own = items if pool_type == item_type else None
                num_items = run.meta.num_items[pool_type]
                most[item_type] += _poolable(known, users, own, run.meta.num_users, num_items, cut)
    return most


def vectors_know_no_label(run: AuditedRun) -> Outcome:
    """The user vectors beside an example are those of before the label period (without timestamps: those made without
    the fold that the label is in)."""
    names = run.settings("towers", "towers").get("user_vectors", ())
    if not names:
        return Outcome(skipped="the towers read no user vectors")
    vectors = [_stored_vectors(run, name) for name in names]
    checked = 0
    for item_type in run.meta.targets:
        for block in _examples_of(run, item_type).iter_slices(_BLOCK):
            users, items = _users_and_items(block)
            allowed = digest(np.concatenate([one.beside(item_type, users, items) for one in vectors], axis=1))
            wrong = np.flatnonzero(block[_VECTORS].fill_null(0).to_numpy() != allowed)
            if len(wrong):
                at = int(wrong[0])
                moment = "without the label's fold" if run.meta.label_start is None else "before the label period"
                why = f"the user vectors beside it are not those made {moment}"
                return Outcome(checked + at + 1, _example(run, block.row(at, named=True)) | {"why": why})
            checked += block.height
    return Outcome(checked)


def _stored_vectors(run: AuditedRun, name: str) -> UserVectors:
    path = run.batches[vector_stage(name)].path(USER_VECTORS_FILE)
    return load_user_vectors(path, name, run.meta.num_users, timed=run.meta.label_start is not None)


def _poolable(known: Ints, users: Ints, own: Ints | None, num_users: int, num_items: int, most: int | None) -> Ints:
    """Items of one pool that each example may pool: all of its user's but its own label, ``most`` at most (None: no
    limit)."""
    count = np.bincount(known // max(num_items, 1), minlength=num_users)[users]
    if own is not None:
        count = count - is_in(pair_keys(users, own, num_items), known)
    return count if most is None else np.minimum(count, most)


def _label_period(run: AuditedRun) -> Period:
    return Period(run.meta.label_start, run.meta.cutoff)


def _examples(run: AuditedRun) -> pl.LazyFrame:
    examples = pl.scan_parquet(run.batches["towers"].path(EXAMPLES_FILE))
    # Towers of an earlier graphkit had examples of strong signals alone.
    return examples if _WEAK in examples.collect_schema() else examples.with_columns(pl.lit(False).alias(_WEAK))


def _examples_of(run: AuditedRun, item_type: str) -> pl.DataFrame:
    return _examples(run).filter(pl.col(schemas.ITEM_TYPE) == item_type).collect(engine="streaming")


def _users_and_items(examples: pl.DataFrame) -> tuple[Ints, Ints]:
    users, items = (examples[name].to_numpy().astype(np.int64) for name in (schemas.USER, schemas.ITEM))
    return users, items


def _height(run: AuditedRun) -> int:
    found: int = _examples(run).select(pl.len()).collect().item()
    return found


def _none_of(
    run: AuditedRun, offending: pl.LazyFrame, why: str, period: Period | None = None, signals: tuple[str, ...] = ()
) -> Outcome:
    """Clean where no example is offending; ``period`` asks for the raw row that explains one: no row of ``signals``
    in it."""
    first = _first(offending)
    if first is None:
        return Outcome(_height(run))
    facts = _example(run, first)
    if period is not None:
        of_pair = pl.all_horizontal(pl.col(name) == first[name] for name in _KEY)
        then = of_pair & pl.col(schemas.TIMESTAMP).eq_missing(first[schemas.TIMESTAMP])
        facts |= run.outside(period, signals, then) or run.outside(period, signals, of_pair) or {}
    return Outcome(_height(run), facts | {"why": why})


def _first(examples: pl.LazyFrame) -> dict[str, object] | None:
    found = examples.sort(_KEY).head(1).collect(engine="streaming")
    return found.row(0, named=True) if found.height else None


def _example(run: AuditedRun, row: dict[str, object]) -> Facts:
    named = run.named(int(str(row[schemas.USER])), str(row[schemas.ITEM_TYPE]), int(str(row[schemas.ITEM])))
    side = "validation" if row[_VALIDATION] else "training"
    when = {"label_time": _text(row[schemas.TIMESTAMP]), _FEATURES_END: _text(row[_FEATURES_END])}
    return named | when | {"side": side} | _stored(run)


def _text(moment: object) -> str | None:
    return None if moment is None else moment.isoformat()  # type: ignore[attr-defined]


def _stored(run: AuditedRun) -> Facts:
    return {"stored_in": str(run.batches["towers"].path(EXAMPLES_FILE))}


def _where_kept(look: Callable[[AuditedRun], Outcome]) -> Callable[[AuditedRun], Outcome]:
    """Towers of an earlier graphkit kept no examples."""

    def look_if_kept(run: AuditedRun) -> Outcome:
        batch = run.batches["towers"]
        if EXAMPLES_FILE in batch.manifest.files:
            return look(run)
        return Outcome(missing=f"no {EXAMPLES_FILE}: remove {batch.folder} and run `graphkit train-towers`")

    return look_if_kept


CHECKS = tuple(
    Check("towers", claim, "examples", _where_kept(look))
    for claim, look in (
        ("labels are train rows of the label period", labels_of_the_label_period),
        ("labels are new to their user", labels_are_new),
        ("no user is trained on and validated on", sides_are_apart),
        ("features end where the label period starts", features_end_in_time),
        ("no example pools its label or a later row", labels_are_not_pooled),
        ("no user vector knows its label", vectors_know_no_label),
    )
)
