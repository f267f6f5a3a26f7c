"""The dataset: which rows are train and test, where the label period lies, what the statistics were measured on."""

from __future__ import annotations

from typing import Any

import polars as pl

from graphkit import schemas
from graphkit.audit.finding import Check, Outcome
from graphkit.audit.run import AuditedRun, Period, iso

_IS_TRAIN = pl.col(schemas.SPLIT) == schemas.TRAIN
_IS_TEST = pl.col(schemas.SPLIT) == schemas.TEST
_PAIR = (schemas.USER, schemas.ITEM_TYPE, schemas.ITEM)


def train_before_cutoff(run: AuditedRun) -> Outcome:
    """With a split by time every train row comes before the cut-off."""
    return _by_time(run, _IS_TRAIN, late=True)


def test_from_cutoff(run: AuditedRun) -> Outcome:
    """With a split by time every row that is not train is at or after the cut-off, and says test."""
    return _by_time(run, ~_IS_TRAIN | pl.col(schemas.SPLIT).is_null(), late=False)


def _by_time(run: AuditedRun, side: pl.Expr, late: bool) -> Outcome:
    if run.meta.split != "time":
        return Outcome(skipped=f"the split is {run.meta.split}, not by time")
    if (cutoff := run.meta.cutoff) is None:
        return Outcome(first={"file": schemas.DATASET_FILE, "why": "a split by time without a cut-off"})
    time = pl.col(schemas.TIMESTAMP)
    wrong = time >= cutoff if late else (time < cutoff) | _IS_TEST.not_().fill_null(True)
    wrong = wrong | time.is_null()
    rows = run.rows().filter(side)
    checked, offending = rows.select(pl.len(), wrong.sum().alias("wrong")).collect(engine="streaming").row(0)
    if not offending:
        return Outcome(checked)
    first = rows.filter(wrong).head(1).collect().row(0, named=True)
    where = "not before" if late else "not at or after"
    why = f"marked {first[schemas.SPLIT]}, but {where} the cut-off {iso(cutoff)} ({offending:,} such rows)"
    return Outcome(checked, run.row_facts(first) | {"why": why})


def sides_are_apart(run: AuditedRun) -> Outcome:
    """Without a split by time no row stands on both sides; a random split holds out a pair under every signal."""
    if run.meta.split not in ("fixed", "random"):
        return Outcome(skipped="the split is by time" if run.meta.split == "time" else "there are no interactions")
    key = list(_PAIR) if run.meta.split == "random" else [*_PAIR, schemas.SIGNAL, schemas.TIMESTAMP]
    test = run.rows().filter(_IS_TEST)
    shared = run.rows().filter(_IS_TRAIN).join(test.select(key).unique(), on=key, how="semi", nulls_equal=True)
    checked = test.select(pl.len()).collect(engine="streaming").item()
    first = shared.sort(*_PAIR, schemas.SIGNAL).head(1).collect()
    if not first.height:
        return Outcome(checked)
    what = "(user, item)" if run.meta.split == "random" else "row"
    why = f"a train row, and the same {what} is in test"
    return Outcome(checked, run.row_facts(first.row(0, named=True)) | {"why": why})


def label_period_in_train(run: AuditedRun) -> Outcome:
    """The label period starts before the cut-off and both are there, or neither."""
    start, cutoff = run.meta.label_start, run.meta.cutoff
    if start is None and cutoff is None:
        return Outcome(skipped="without timestamps there is no label period")
    if start is not None and cutoff is not None and start <= cutoff:
        return Outcome(1)
    why = f"the label period is said to start at {iso(start)}, the test period at {iso(cutoff)}"
    return Outcome(1, {"file": str(run.batches["dataset"].path(schemas.DATASET_FILE)), "why": why})


def statistics_of_train(run: AuditedRun) -> Outcome:
    """The distinct items per user that the dataset states are those of the train rows."""
    stated = [row for row in run.meta.statistics if _is_item_count(row, run)]
    if not stated:
        return Outcome(skipped="the dataset states no statistics that can be recounted")
    step = -(-run.meta.num_users // _users_measured(stated[0], run))
    strong = run.train_rows(run.meta.strong, Period()).filter(pl.col(schemas.USER) % step == 0)
    count = strong.select(_PAIR).unique().group_by(schemas.USER).len().collect(engine="streaming")["len"]
    sampled = -(-run.meta.num_users // step)
    everyone = pl.concat([count, pl.zeros(sampled - count.len(), count.dtype, eager=True)])
    for row in stated:
        for share, value in row["quantiles"].items():
            recounted = everyone.quantile(float(share), "nearest")
            if recounted != value:
                why = f"quantile {share} is {value} in dataset.json and {recounted} over the train rows"
                file = str(run.batches["dataset"].path(schemas.DATASET_FILE))
                return Outcome(len(stated), {"statistic": row["name"], "file": file, "why": why})
    return Outcome(len(stated))


def _is_item_count(row: dict[str, Any], run: AuditedRun) -> bool:
    return row["name"] == "distinct items per user" and bool(row.get("quantiles")) and _users_measured(row, run) > 0


def _users_measured(row: dict[str, Any], run: AuditedRun) -> int:
    return min(int(row.get("users") or 0), run.meta.num_users)


CHECKS = (
    Check("dataset", "train rows come before the cut-off", "rows", train_before_cutoff),
    Check("dataset", "test rows come at or after the cut-off", "rows", test_from_cutoff),
    Check("dataset", "no test row is in train too", "rows", sides_are_apart),
    Check("dataset", "the label period lies in train", "periods", label_period_in_train),
    Check("dataset", "stated statistics are of train rows", "statistics", statistics_of_train),
)
