"""The statistics of the paper's section 3, measured on any dataset, with the paper's figure beside each.

A row is a plain dict: ``name``, ``measured``, ``target`` (None: nothing to compare with), ``comparison``
(how they should stand: ``about``, ``above``), ``unit``, ``scope`` (which rows it was measured on),
``planted`` (the data were generated to show it, so it is no finding), ``source``, and what else belongs to
it. What a dataset does not carry (timestamps, seconds, texts, weak signals) leaves its rows out. Only train
rows are read, except where a row's name says test.
"""

from __future__ import annotations

from datetime import timedelta
from itertools import chain
from typing import Any, Final

import numpy as np
import polars as pl

from graphkit import schemas
from graphkit.datasets.store import Dataset, DatasetMeta
from graphkit.datasets.text_similarity import co_listened_similarity
from graphkit.datasets.weak_signals import signal_odds

Row = dict[str, Any]

#: The paper looks at 90 days of streams.
WINDOW_DAYS: Final = 90
#: What looks at pairs is measured on this many users of a larger dataset, taken at even steps.
MAX_USERS: Final = 25_000
_QUANTILES: Final = (0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
_IN_TRAIN: Final = pl.col(schemas.SPLIT).ne_missing(schemas.TEST)
_SECTION_3: Final = "2T-HGNN section 3"


def measure_statistics(dataset: Dataset) -> list[Row]:
    """Every statistic that ``dataset`` carries the data for."""
    return measure_tables(dataset.interactions(), dataset.items(), dataset.meta)


def measure_tables(interactions: pl.LazyFrame, items: pl.DataFrame, meta: DatasetMeta) -> list[Row]:
    """``measure_statistics`` of a dataset given by its tables."""
    step = -(-meta.num_users // MAX_USERS)
    sampled = -(-meta.num_users // step)
    sample = "all users" if step == 1 else f"{sampled:,} of {meta.num_users:,} users"
    rows = _load(interactions.filter(pl.col(schemas.USER) % step == 0))
    known = rows.filter(_IN_TRAIN)
    strong = known.filter(pl.col(schemas.SIGNAL).is_in(list(meta.strong)))
    recent, window = _window(meta)
    found = chain(
        _concentration(interactions.filter(_IN_TRAIN & recent), meta, f"all users, {window}"),
        _earlier_types(strong, meta, f"{sample}, train"),
        _text(strong.filter(recent), items, meta, f"{sample}, {window}"),
        _odds(known, meta, f"{sample}, train; user-title pairs with a weak signal before any stream"),
        _test_period(rows, meta, sample),
        _distinct_items(strong, meta, sampled, f"{sample}, train"),
    )
    return [{**row, "planted": meta.planted} for row in found]


def _load(interactions: pl.LazyFrame) -> pl.DataFrame:
    columns = (schemas.USER, schemas.ITEM_TYPE, schemas.ITEM, schemas.SIGNAL, schemas.TIMESTAMP, schemas.SPLIT)
    labels = pl.col(schemas.ITEM_TYPE, schemas.SIGNAL, schemas.SPLIT).cast(pl.Categorical)
    return interactions.select(columns).with_columns(labels).collect(engine="streaming")


def _window(meta: DatasetMeta) -> tuple[pl.Expr, str]:
    """The paper's window as a filter of train rows, and what it is called."""
    if meta.cutoff is None:
        return pl.lit(True), "all of train"
    since = meta.cutoff - timedelta(days=WINDOW_DAYS)
    return pl.col(schemas.TIMESTAMP) >= since, f"last {WINDOW_DAYS} days of train"


def _row(name: str, measured: float, unit: str, scope: str, **more: Any) -> Row:
    """A row; ``target`` and ``comparison`` unless given are None."""
    value = round(measured, 4)
    return {"name": name, "measured": value, "target": None, "comparison": None, "unit": unit, "scope": scope, **more}


def _concentration(recent: pl.LazyFrame, meta: DatasetMeta, scope: str) -> list[Row]:
    """How much of the listening the busiest users and the most popular titles of the target types make."""
    listened = recent.filter(
        pl.col(schemas.ITEM_TYPE).is_in(list(meta.targets)) & pl.col(schemas.SIGNAL).is_in(list(meta.strong))
    )
    timed = listened.select((pl.len() > 0) & (pl.col(schemas.SECONDS).null_count() == 0)).collect().item()
    what = "hours" if timed else "interactions"
    # Whole tenths of a second add up to the same number in any order.
    amount = (pl.col(schemas.SECONDS) * 10).round().cast(pl.Int64).sum() if timed else pl.len()
    by_user, by_item = (
        listened.group_by(keys).agg(amount.alias("amount")).collect(engine="streaming")
        for keys in ([schemas.USER], [schemas.ITEM_TYPE, schemas.ITEM])
    )
    if not by_user.height:
        return []
    busiest = _top_share(by_user["amount"], 0.25, by_user.height)
    unit = f"share of {' and '.join(meta.targets)} {what}"
    found = [_row(f"{what} made by the busiest 25 % of users", busiest, unit, scope, **_paper(0.75, "about"))]
    for item_type in meta.targets:
        mine = by_item.filter(pl.col(schemas.ITEM_TYPE) == item_type)["amount"]
        if mine.len():
            paper = _paper(0.80, "above") if item_type == meta.targets[0] else {}
            share = _top_share(mine, 0.2, meta.num_items[item_type])
            name = f"{what} taken by the top 20 % of {item_type} titles"
            found.append(_row(name, share, f"share of {item_type} {what}", scope, **paper))
    return found


def _top_share(amount: pl.Series, top: float, count: int) -> float:
    """The share of the whole that the largest ``top`` of ``count`` values make (absent ones are zero)."""
    largest = np.sort(amount.to_numpy())[::-1][: round(top * count)]
    return float(largest.sum() / amount.sum())


def _paper(target: float, comparison: str) -> dict[str, Any]:
    return {"target": target, "comparison": comparison, "source": _SECTION_3}


def _earlier_types(strong: pl.DataFrame, meta: DatasetMeta, scope: str) -> list[Row]:
    """The share of the first target type's users who had another type before their first item of it."""
    if meta.cutoff is None:
        return []
    first = strong.group_by(schemas.USER, schemas.ITEM_TYPE).agg(pl.col(schemas.TIMESTAMP).min())
    wide = first.pivot(schemas.ITEM_TYPE, index=schemas.USER, values=schemas.TIMESTAMP)
    target = meta.targets[0]
    if target not in wide.columns:
        return []
    took = wide.filter(pl.col(target).is_not_null())
    return [
        _row(
            f"{target} users with a {other} before their first {target}",
            took.filter(pl.col(other) < pl.col(target)).height / took.height,
            f"share of {target} users",
            scope,
            users=took.height,
            **(_paper(0.70, "above") if other == "podcast" else {}),
        )
        for other in meta.types
        if other != target and other in wide.columns
    ]


def _text(recent: pl.DataFrame, items: pl.DataFrame, meta: DatasetMeta, scope: str) -> list[Row]:
    """Whether titles that share a user are closer in their text than random titles are."""
    found = []
    for item_type in meta.targets:
        catalogue = items.filter(pl.col(schemas.ITEM_TYPE) == item_type)
        pairs = recent.filter(pl.col(schemas.ITEM_TYPE) == item_type).select(schemas.USER, schemas.ITEM).unique()
        result = co_listened_similarity(pairs, catalogue)
        if result is None:
            continue
        name = f"text similarity of {item_type} pairs with a shared user (target: random pairs)"
        more = {"target": round(result.random, 4), "comparison": "above", "source": _SECTION_3, "pairs": result.pairs}
        found.append(_row(name, result.co_listened, "mean TF-IDF cosine", scope, **more))
    return found


def _odds(known: pl.DataFrame, meta: DatasetMeta, scope: str) -> list[Row]:
    """How each weak signal raises the odds that a stream of the same title follows."""
    if meta.cutoff is None:
        return []
    target = meta.targets[0]
    rows = known.filter(pl.col(schemas.ITEM_TYPE) == target)
    paper = {"follow": 2.18, "preview": 1.18, "intent_to_pay": 1.13}
    return [
        _row(
            f"{odds.signal} before a stream ({target})",
            odds.ratio,
            "odds ratio of streaming",
            scope,
            pairs=odds.pairs,
            interval=[round(odds.low, 4), round(odds.high, 4)],
            **(_paper(paper[odds.signal], "about") if odds.signal in paper else {}),
        )
        for odds in signal_odds(rows, meta.strong, meta.weak)
    ]


def _test_period(rows: pl.DataFrame, meta: DatasetMeta, scope: str) -> list[Row]:
    """Who and what is new in the test period, per target type."""
    if meta.cutoff is None:
        return []
    found = []
    for item_type in meta.targets:
        mine = rows.filter(pl.col(schemas.ITEM_TYPE) == item_type)
        strong = mine.filter(pl.col(schemas.SIGNAL).is_in(list(meta.strong)))
        for column, who in ((schemas.USER, "users"), (schemas.ITEM, "titles")):
            before = mine.filter(pl.col(schemas.SPLIT) == schemas.TRAIN)[column].unique()
            test = strong.filter(pl.col(schemas.SPLIT) == schemas.TEST)[column].unique()
            if test.len():
                new = test.filter(~test.is_in(before.implode())).len() / test.len()
                name = f"test {who} of {item_type} without {item_type} interactions in train"
                found.append(_row(name, new, f"share of test {who}", scope, count=test.len()))
    return found


def _distinct_items(strong: pl.DataFrame, meta: DatasetMeta, users: int, scope: str) -> list[Row]:
    """Quantiles of distinct items per user: over all types for every user, per type for those who have any."""
    pairs = strong.select(schemas.USER, schemas.ITEM_TYPE, schemas.ITEM).unique()
    count = pairs.group_by(schemas.USER).len()["len"]
    everyone = pl.concat([count, pl.zeros(users - count.len(), count.dtype, eager=True)])
    found = [_quantiles("distinct items per user", everyone, scope)]
    for item_type in meta.types:
        count = pairs.filter(pl.col(schemas.ITEM_TYPE) == item_type).group_by(schemas.USER).len()["len"]
        if count.len():
            found.append(_quantiles(f"distinct {item_type} items per {item_type} user", count, scope))
    return found


def _quantiles(name: str, count: pl.Series, scope: str) -> Row:
    values = {str(q): count.quantile(q, "nearest") for q in _QUANTILES}
    return _row(name, float(values["0.5"] or 0), "items, median", scope, quantiles=values, users=count.len())
