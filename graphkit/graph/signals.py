"""Which rows of the log count towards edges, and how much."""

from __future__ import annotations

import polars as pl

from graphkit import schemas
from graphkit.config.sections import GraphSection
from graphkit.datasets.store import Dataset, DatasetMeta
from graphkit.errors import ConfigError, DataError, did_you_mean

WEIGHT = "weight"


def signal_weights(meta: DatasetMeta, given: dict[str, float]) -> dict[tuple[str, str], float]:
    """The weight of each (item type, signal) that counts: strong signals 1, and what ``given`` says.

    A key is a signal (of every type) or ``type.signal``, which counts before it. Raises ConfigError for a
    name the dataset does not know.
    """
    known: dict[str, tuple[str | None, str]] = {signal: (None, signal) for signal in (*meta.strong, *meta.weak)}
    known |= {f"{t}.{signal}": (t, signal) for t in meta.types for signal in (*meta.strong, *meta.weak)}
    for name in given:
        if name not in known:
            raise ConfigError(f"graph.signal_weights: unknown signal {name!r}", expected=did_you_mean(name, known))
    weights = {(t, signal): 1.0 for t in meta.types for signal in meta.strong}
    for name in sorted(given, key=lambda name: known[name][0] is not None):  # type.signal after signal
        of_type, signal = known[name]
        weights |= {(t, signal): given[name] for t in meta.types if of_type in (None, t)}
    return weights


def counting_rows(rows: pl.LazyFrame, weights: dict[tuple[str, str], float], min_seconds: float) -> pl.LazyFrame:
    """The rows that count, with their ``weight`` (f32)."""
    if min_seconds > 0:
        rows = rows.filter(pl.col(schemas.SECONDS) >= min_seconds)
    if set(weights.values()) == {1.0} and len({s for _, s in weights}) * len({t for t, _ in weights}) == len(weights):
        signals = sorted({signal for _, signal in weights})
        return rows.filter(pl.col(schemas.SIGNAL).is_in(signals)).with_columns(pl.lit(1.0, pl.Float32).alias(WEIGHT))
    weight = pl.lit(None, pl.Float32)
    for (item_type, signal), value in weights.items():
        of = (pl.col(schemas.ITEM_TYPE) == item_type) & (pl.col(schemas.SIGNAL) == signal)
        weight = pl.when(of).then(pl.lit(value, pl.Float32)).otherwise(weight)
    return rows.with_columns(weight.alias(WEIGHT)).filter(pl.col(WEIGHT).is_not_null())


def check_row_rules(dataset: Dataset, settings: GraphSection) -> None:
    """Raise DataError where a rule needs a column that the rows which count have not."""
    if settings.max_gap_days is None and settings.min_seconds == 0:
        return
    weights = signal_weights(dataset.meta, settings.signal_weights)
    rows = counting_rows(dataset.interactions(schemas.TRAIN), weights, min_seconds=0)
    known = rows.select(pl.col(schemas.TIMESTAMP, schemas.SECONDS).count()).collect(engine="streaming")
    if settings.max_gap_days is not None and not known[schemas.TIMESTAMP].item():
        raise DataError(
            "graph.max_gap_days needs timestamps, and the dataset has none",
            fix="--set graph.max_gap_days=none, or map columns.timestamp in the card",
        )
    if settings.min_seconds > 0 and not known[schemas.SECONDS].item():
        raise DataError(
            "graph.min_seconds needs seconds, and the rows that count have none",
            fix="--set graph.min_seconds=0, or map columns.seconds in the card",
        )
