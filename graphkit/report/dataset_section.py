"""The page's part about the data: sizes, the statistics of the paper's section 3, rejected rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import polars as pl

from graphkit import schemas
from graphkit.datasets.store import Dataset
from graphkit.report.formatting import ABSENT, count, percent


class TypeCounts(NamedTuple):
    """One item type's sizes."""

    item_type: str
    role: str
    items: int
    train_rows: int
    test_rows: int
    train_users: int


class Statistic(NamedTuple):
    """One measured statistic beside its target, as text."""

    name: str
    measured: str
    target: str
    unit: str
    scope: str
    planted: bool


class Quantiles(NamedTuple):
    """Quantiles of a count per user; ``values`` as text, one per column."""

    name: str
    users: int
    values: list[str]


class Rejected(NamedTuple):
    """Rows left out for one reason, and the first of them."""

    table: str
    reason: str
    rows: int
    example: str


@dataclass(frozen=True)
class DatasetSection:
    """Everything the template shows about the data."""

    types: list[TypeCounts]
    statistics: list[Statistic]
    quantile_names: list[str]
    quantiles: list[Quantiles]
    rejected: list[Rejected]


def dataset_section(dataset: Dataset) -> DatasetSection:
    """Read the section off the dataset's batch."""
    rows = dataset.meta.statistics
    with_quantiles = [row for row in rows if row.get("quantiles")]
    names = list(with_quantiles[0]["quantiles"]) if with_quantiles else []
    return DatasetSection(
        types=_type_counts(dataset),
        statistics=[_statistic(row) for row in rows if not row.get("quantiles")],
        quantile_names=[percent(float(name)).replace(".0", "") for name in names],
        quantiles=[
            Quantiles(row["name"], row.get("users", 0), [_whole(row["quantiles"].get(name)) for name in names])
            for row in with_quantiles
        ],
        rejected=_rejected(dataset),
    )


def _type_counts(dataset: Dataset) -> list[TypeCounts]:
    split = pl.col(schemas.SPLIT)
    train = split == schemas.TRAIN
    found = (
        dataset.interactions()
        .group_by(schemas.ITEM_TYPE)
        .agg(
            train.sum().alias("train"),
            (split == schemas.TEST).sum().alias("test"),
            pl.col(schemas.USER).filter(train).n_unique().alias("users"),
        )
        .collect(engine="streaming")
    )
    by_type = {row[schemas.ITEM_TYPE]: row for row in found.iter_rows(named=True)}
    nothing = {"train": 0, "test": 0, "users": 0}
    return [
        TypeCounts(
            name,
            "target" if name in dataset.meta.targets else "helps the others",
            dataset.meta.num_items[name],
            *(by_type.get(name, nothing)[key] for key in ("train", "test", "users")),
        )
        for name in dataset.meta.types
    ]


def _statistic(row: dict[str, Any]) -> Statistic:
    unit, target = str(row.get("unit") or ""), row.get("target")
    wanted = ABSENT if target is None else f"{row.get('comparison') or ''} {_amount(target, unit)}".strip()
    measured = _amount(row.get("measured"), unit)
    if row.get("interval"):
        low, high = row["interval"]
        measured += f" ({_amount(low, unit)} to {_amount(high, unit)})"
    return Statistic(row["name"], measured, wanted, unit, str(row.get("scope") or ""), bool(row.get("planted")))


def _amount(value: float | None, unit: str) -> str:
    if value is None:
        return ABSENT
    if unit.startswith("share"):
        return percent(value)
    return f"{value:.2f}" if unit.startswith("odds") else f"{value:.4g}"


def _whole(value: float | None) -> str:
    return ABSENT if value is None else count(round(value))


def _rejected(dataset: Dataset) -> list[Rejected]:
    path = dataset.batch.path(schemas.REJECTED_FILE)
    if not path.is_file():
        return []
    rows = pl.read_parquet(path)
    if not {"table", "reason", "file", "row"} <= set(rows.columns):
        return []
    found = rows.group_by("table", "reason").agg(pl.len(), pl.col("file", "row").first())
    return [
        Rejected(table, reason, number, f"{file}, row {row}")
        for table, reason, number, file, row in found.sort("len", "table", "reason", descending=True).iter_rows()
    ]
