"""The evaluation: who is ranked on what, and the popularity figures, recounted from the raw rows.

The lists of trained models are not stored. All models share one set of users, test items and masks, so the
popularity figures, recomputed exactly with train items masked and test items as they are, stand for all.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.audit.bundle import count_users
from graphkit.audit.finding import Check, Outcome
from graphkit.audit.pairs import Ints, pair_keys
from graphkit.audit.run import AuditedRun, Period

Flags = npt.NDArray[np.bool_]

RESULTS_FILE: Final = "results.json"
#: Stored figures are rounded to nine decimals.
_TOLERANCE: Final = 1e-6


@dataclass(frozen=True)
class Ranked:
    """The users of one target type who are ranked, and their test items, sorted by user."""

    users: Ints  # [n], ascending
    warm: Flags  # [n]
    row: Ints  # [num_positives], along ``users``
    item: Ints  # [num_positives]
    without_history: int

    def counts(self) -> dict[str, int]:
        """As the evaluation states them."""
        return {
            "warm": int(self.warm.sum()),
            "cold": int((~self.warm).sum()),
            "no_history": self.without_history,
            "test_items": len(self.item),
        }


def ranked_on_test_rows(run: AuditedRun) -> Outcome:
    """The users and test items stated are those of strong test rows whose item is in no strong train row."""
    stated, checked = _results(run)["counts"], 0
    for item_type in _chosen(run, "types", run.meta.targets):
        counted = read_ranked(run, item_type).counts()
        for what, count in counted.items():
            said = stated.get(item_type, {}).get(what)
            if said != count:
                why = f"{said} are stated, {count} follow from the test rows new to their users"
                return Outcome(checked, {"target_type": item_type, "what": what, "why": why} | _stored(run))
        checked += counted["test_items"]
    return Outcome(checked)


def popularity_of_train(run: AuditedRun) -> Outcome:
    """Popularity's figures are what counts of train rows give, the user's train items masked."""
    results = pl.DataFrame(_results(run)["results"], infer_schema_length=None)
    seed, checked = run.batches["evaluation"].manifest.seed, 0
    priors = dict(_priors(run))
    models, groups = _chosen(run, "models", list(priors)), _chosen(run, "groups", ("warm", "cold", "all"))
    for item_type in _chosen(run, "types", run.meta.targets):
        ranked = read_ranked(run, item_type)
        masked = _pairs(run, item_type, schemas.TRAIN)
        for model in (name for name in priors if name in models):
            period = priors[model]
            rank = _ranks(count_users(run, item_type, period), ranked, masked, seed)
            for group, metric, value in (found for found in _figures(ranked, rank) if found[0] in groups):
                stored = _stored_figure(results, model, item_type, group, metric)
                checked += 1
                if stored is None or abs(stored - value) > _TOLERANCE:
                    cell = {"target_type": item_type, "group": group, "model": model, "metric": metric}
                    why = f"{stored} is stated, {value:.9f} follows from train rows of {period}"
                    return Outcome(checked, cell | {"why": why} | _stored(run))
    return Outcome(checked)


def read_ranked(run: AuditedRun, item_type: str) -> Ranked:
    """Everyone with a test item new to them and any train row."""
    test, train = _pairs(run, item_type, schemas.TEST), _pairs(run, item_type, schemas.TRAIN)
    new = test.join(train, on=test.columns, how="anti").sort(test.columns)
    met = run.rows().filter(pl.col(schemas.SPLIT) == schemas.TRAIN).select(schemas.USER, schemas.ITEM_TYPE).unique()
    met_users = met.collect(engine="streaming")
    any_row, of_type = (np.zeros(run.meta.num_users, dtype=bool) for _ in range(2))
    any_row[met_users[schemas.USER].to_numpy()] = True
    of_type[met_users.filter(pl.col(schemas.ITEM_TYPE) == item_type)[schemas.USER].to_numpy()] = True
    everyone = new[schemas.USER].unique().sort().to_numpy()
    users = everyone[any_row[everyone]].astype(np.int64)
    kept = new.filter(pl.Series(any_row[new[schemas.USER].to_numpy()]))
    row = np.searchsorted(users, kept[schemas.USER].to_numpy())
    item = kept[schemas.ITEM].to_numpy().astype(np.int64)
    return Ranked(users, of_type[users], row, item, len(everyone) - len(users))


def _pairs(run: AuditedRun, item_type: str, split: str) -> pl.DataFrame:
    keep = (
        (pl.col(schemas.SPLIT) == split)
        & (pl.col(schemas.ITEM_TYPE) == item_type)
        & pl.col(schemas.SIGNAL).is_in(list(run.meta.strong))
    )
    return run.rows().filter(keep).select(schemas.USER, schemas.ITEM).unique().collect(engine="streaming")


def _priors(run: AuditedRun) -> Iterator[tuple[str, Period]]:
    yield "Popularity", Period()
    if (cutoff := run.meta.cutoff) is not None:
        days = run.settings("evaluation", "evaluation")["popularity_days"]
        yield f"Popularity, {days} days", Period(cutoff - timedelta(days=days), cutoff)


def _chosen(run: AuditedRun, setting: str, every: Sequence[str]) -> Sequence[str]:
    """What the table was asked for: ``evaluation.types``, ``models`` or ``groups``; all where it was not."""
    chosen: list[str] | None = run.settings("evaluation", "evaluation")[setting]
    return every if chosen is None else chosen


def _ranks(popularity: Ints, ranked: Ranked, masked: pl.DataFrame, seed: int) -> Ints:
    """The rank, from 0, of each test item in the list that popularity gives its user: int64 [num_positives]."""
    num_items = len(popularity)
    # Equally popular items come in the evaluation's seeded order, the larger first.
    ties = np.random.default_rng(seed).permutation(num_items)
    place = np.empty(num_items, dtype=np.int64)
    place[np.lexsort((-ties, -popularity))] = np.arange(num_items)
    users, items = masked[schemas.USER].to_numpy(), masked[schemas.ITEM].to_numpy()
    hidden = np.sort(pair_keys(users, place[items], num_items))
    start = ranked.users[ranked.row] * num_items
    above = np.searchsorted(hidden, start + place[ranked.item]) - np.searchsorted(hidden, start)
    found: Ints = place[ranked.item] - above
    return found


def _figures(ranked: Ranked, rank: Ints) -> Iterator[tuple[str, str, float]]:
    """``(group, metric, mean over users)`` of every group with users."""
    num_users = len(ranked.users)
    total = np.bincount(ranked.row, minlength=num_users)

    def hits(length: int) -> Ints:
        return np.bincount(ranked.row[rank < length], minlength=num_users).astype(np.int64)

    gain = np.bincount(ranked.row, np.where(rank < 10, 1 / np.log2(rank + 2), 0), minlength=num_users)
    ideal = np.cumsum(1 / np.log2(np.arange(2, 12)))[np.minimum(total, 10) - 1]
    best = np.full(num_users, np.iinfo(np.int64).max)
    np.minimum.at(best, ranked.row, rank)
    values = {
        "HR@10": (hits(10) > 0).astype(float),
        "Recall@20": hits(20) / total,
        "NDCG@10": gain / ideal,
        "MRR@100": np.where(best < 100, 1 / (best + 1.0), 0.0),
    }
    for group, members in (("warm", ranked.warm), ("cold", ~ranked.warm), ("all", np.ones(num_users, dtype=bool))):
        if members.any():
            for metric, value in values.items():
                yield group, metric, float(value[members].mean())


def _results(run: AuditedRun) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run.batches["evaluation"].path(RESULTS_FILE).read_text(encoding="utf-8"))
    return found


def _stored_figure(results: pl.DataFrame, model: str, item_type: str, group: str, metric: str) -> float | None:
    cell = {"model": model, "target_type": item_type, "group": group, "metric": metric, "segment": "all"}
    found = results.filter(pl.all_horizontal(pl.col(name) == value for name, value in cell.items()))
    return float(found["value"][0]) if found.height else None


def _stored(run: AuditedRun) -> dict[str, str]:
    return {"stored_in": str(run.batches["evaluation"].path(RESULTS_FILE))}


CHECKS = (
    Check("evaluation", "test rows new to their users are ranked", "test items", ranked_on_test_rows),
    Check("evaluation", "popularity is of train rows, train items masked", "figures", popularity_of_train),
)
