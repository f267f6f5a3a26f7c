"""Train and test: by time, as shipped, drawn; and the validation cut off train in the same way."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphkit.config import load_config
from graphkit.config.sections import SplitSection
from graphkit.datasets.assign import SplitRule, assign_split
from graphkit.datasets.cards import SplitCard
from graphkit.datasets.holdout import held_out
from graphkit.datasets.split import time_split
from graphkit.datasets.store import Dataset
from graphkit.errors import ConfigError, DataError
from tests.dataset_sources import CARD, DAY, import_source, plays_frame, write_source

FIRST = datetime(2024, 1, 1, tzinfo=UTC)
LAST = FIRST + timedelta(days=100)


def day(number: float) -> datetime:
    return FIRST + timedelta(days=number)


def test_test_is_the_last_horizon_and_labels_come_before_it() -> None:
    cutoff, label_start = time_split(FIRST, LAST, SplitSection(horizon_days=14, label_days=7))
    assert cutoff == day(86) + timedelta(milliseconds=1)
    assert label_start == cutoff - timedelta(days=7)


def test_validation_moves_one_horizon_back() -> None:
    cutoff, label_start = time_split(FIRST, LAST, SplitSection(cutoff=day(80), holdout="validation", horizon_days=10))
    assert (cutoff, label_start) == (day(70), day(70) - timedelta(days=70) / 3)


def test_a_short_log_keeps_two_thirds_of_train_before_the_labels() -> None:
    assert time_split(FIRST, LAST, SplitSection(cutoff=day(20), label_days=20))[1] == day(20) - timedelta(days=20) / 3
    assert time_split(FIRST, LAST, SplitSection(cutoff=day(90), label_days=30))[1] == day(60)


@pytest.mark.parametrize(
    "values",
    [{"cutoff": day(0)}, {"cutoff": day(101)}, {"horizon_days": 101}],
)
def test_a_cut_that_leaves_nothing_on_a_side_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=r"split\.") as caught:
        time_split(FIRST, LAST, SplitSection.model_validate(values))
    assert caught.value.fix


def rows_of(pairs: list[tuple[int, str, int]], signal: str = "like") -> pl.DataFrame:
    """Interactions without time: (user, item_type, item)."""
    frame = pl.DataFrame(pairs, schema=["user", "item_type", "item"], orient="row").with_columns(
        pl.col("user", "item").cast(pl.UInt32),
        signal=pl.lit(signal),
        timestamp=pl.lit(None, pl.Datetime("ms", "UTC")),
        seconds=pl.lit(None, pl.Float32),
        split=pl.lit(None, pl.String),
    )
    return frame.select("user", "item_type", "item", "signal", "timestamp", "seconds", "split")


def drawn(
    rows: pl.DataFrame, targets: tuple[str, ...] = ("book",), share: float = 0.2, seed: int = 0
) -> pl.DataFrame:
    mask = held_out(rows, targets, ("like",), share, np.random.default_rng(seed))
    return rows.with_columns(out=mask)


def test_each_warm_user_loses_its_share_and_keeps_the_rest() -> None:
    counts = {0: 1, 1: 2, 2: 9, 3: 10, 4: 25}
    rows = rows_of([(user, "book", item) for user, n in counts.items() for item in range(n)])
    lost = dict(drawn(rows).group_by("user").agg(pl.col("out").sum()).rows())
    assert lost == {0: 0, 1: 1, 2: 1, 3: 2, 4: 5}  # one of two: at least one, and never the last


def test_a_tenth_of_the_users_with_two_types_lose_the_whole_target_type() -> None:
    pairs = [(u, t, i) for u in range(50) for t in ("book", "song") for i in range(10)]
    rows = drawn(rows_of([*pairs, *((u, "book", 0) for u in range(50, 60))]))
    books = rows.filter((pl.col("item_type") == "book") & (pl.col("user") < 50))
    lost = books.group_by("user").agg(pl.col("out").sum())["out"].value_counts()
    assert dict(lost.rows()) == {10: 5, 2: 45}
    assert not rows.filter(pl.col("item_type") == "song")["out"].any()
    assert not rows.filter(pl.col("user") >= 50)["out"].any()  # one item, one type: nothing to hold out


def test_nobody_is_cold_for_two_types() -> None:
    pairs = [(u, t, i) for u in range(200) for t in ("book", "song") for i in range(5)]
    rows = drawn(rows_of(pairs), targets=("book", "song"))
    cold = rows.group_by("user", "item_type").agg(pl.col("out").all()).filter("out")
    assert (cold.height, cold["user"].n_unique()) == (20 + 18, 38)  # a tenth of 200, then of the 180 left


def test_a_weak_signal_does_not_give_a_held_out_item_away() -> None:
    pairs = [(u, "book", i) for u in range(20) for i in range(5)]
    both = pl.concat([rows_of(pairs), rows_of(pairs, "tag")])
    agree = drawn(both).group_by("user", "item").agg(pl.col("out").n_unique())
    assert agree["out"].unique().to_list() == [1]


def test_the_draw_follows_the_seed_and_not_the_order_of_rows() -> None:
    rows = rows_of([(u, t, i) for u in range(30) for t in ("book", "song") for i in range(6)])
    one, shuffled = drawn(rows), drawn(rows.sample(fraction=1.0, shuffle=True, seed=3))
    columns = ["user", "item_type", "item"]
    assert one.sort(columns).equals(shuffled.sort(columns))
    assert not one.equals(drawn(rows, seed=1))


triples = st.tuples(st.integers(0, 9), st.sampled_from(["book", "song"]), st.integers(0, 7))


@settings(max_examples=60, deadline=None)
@given(pairs=st.sets(triples, min_size=1), share=st.floats(0, 1), seed=st.integers(0, 5))
def test_nobody_loses_everything_to_the_draw(pairs: set[tuple[int, str, int]], share: float, seed: int) -> None:
    rows = drawn(rows_of(sorted(pairs)), ("book", "song"), share, seed)
    kept = rows.filter(~pl.col("out"))
    assert set(kept["user"]) == set(rows["user"])
    for user in set(rows.filter(pl.col("out"))["user"]):
        mine = rows.filter(pl.col("user") == user)
        gone = [t for t in set(mine["item_type"]) if mine.filter(pl.col("item_type") == t)["out"].all()]
        assert len(gone) <= 1


def rule(card: SplitCard, config: SplitSection, timed: bool = True, shipped: bool = False) -> SplitRule:
    return SplitRule(card, config, timed, shipped, ("book",), ("like",), seed=0)


@pytest.mark.parametrize(
    ("card", "config", "timed", "shipped", "kind"),
    [
        ({}, {}, True, True, "fixed"),
        ({}, {}, True, False, "time"),
        ({}, {}, False, False, "random"),
        ({"kind": "time"}, {}, True, True, "time"),
        ({"cutoff": FIRST}, {}, True, True, "time"),
        ({"kind": "fixed"}, {"kind": "random"}, True, True, "random"),
        ({"kind": "fixed"}, {"cutoff": FIRST}, True, True, "time"),
    ],
)
def test_configuration_counts_before_card_before_data(
    card: dict[str, object], config: dict[str, object], timed: bool, shipped: bool, kind: str
) -> None:
    found = rule(SplitCard.model_validate(card), SplitSection.model_validate(config), timed, shipped)
    assert found.kind == kind


def timed_rows(split: list[str | None]) -> pl.DataFrame:
    """One user, one book a day."""
    rows = rows_of([(0, "book", n) for n in range(len(split))])
    times = pl.Series("timestamp", [day(n) for n in range(len(split))]).cast(pl.Datetime("ms", "UTC"))
    return rows.with_columns(times, pl.Series("split", split, dtype=pl.String))


def test_a_shipped_split_that_is_no_cut_in_time_is_refused() -> None:
    card = SplitCard(kind="time", cutoff=day(30))
    sides = ["train"] * 30 + ["test"] * 10
    assert assign_split(timed_rows(sides), rule(card, SplitSection(), shipped=True)).rows["split"].to_list() == sides
    with pytest.raises(DataError, match="3 rows on the other side"):
        assign_split(timed_rows([*sides[1:], "train", "train"]), rule(card, SplitSection(), shipped=True))


def test_without_a_cut_off_the_shipped_test_rows_give_it() -> None:
    sides = assign_split(
        timed_rows(["train"] * 30 + ["test"] * 10), rule(SplitCard(kind="time"), SplitSection(), shipped=True)
    )
    assert (sides.cutoff, sides.label_start) == (day(30), day(20))


@settings(max_examples=40, deadline=None)
@given(
    num_days=st.integers(60, 200),
    horizon=st.integers(1, 14),
    labels=st.integers(1, 14),
    holdout=st.sampled_from(["test", "validation"]),
    shipped=st.booleans(),
)
def test_no_row_from_the_cut_off_on_is_train(
    num_days: int, horizon: int, labels: int, holdout: str, shipped: bool
) -> None:
    config = SplitSection.model_validate({"horizon_days": horizon, "label_days": labels, "holdout": holdout})
    split = ["train"] * (num_days - horizon) + ["test"] * horizon
    rows = timed_rows(split if shipped else [None] * num_days)
    sides = assign_split(rows, rule(SplitCard(kind="time"), config, shipped=shipped))
    train, test = (sides.rows.filter(pl.col("split") == side)["timestamp"] for side in ("train", "test"))
    assert sides.cutoff is not None
    assert train.max() < sides.cutoff <= test.min()
    assert train.len() == num_days - horizon * (2 if holdout == "validation" else 1)
    assert test.len() == horizon


def test_validation_of_a_fixed_split_is_drawn_from_train_alone(tmp_path: Path) -> None:
    folder = write_source(
        tmp_path / "logs", CARD + '\n[split]\nkind = "fixed"\nvalues = { train = ["tr", "va"], test = "te" }\n'
    )
    marks = pl.Series("split", ["tr", "va", "te"] * 24)
    plays_frame().with_columns(marks).write_csv(folder / "plays.csv")
    whole = Dataset.open(import_source(folder, strict=True))
    assert dict(whole.interactions().collect()["split"].value_counts().rows()) == {"train": 48, "test": 24}
    tuned = Dataset.open(import_source(folder, "split.holdout=validation", strict=True))
    keys = ["user", "item_type", "item", "signal", "timestamp"]
    assert tuned.interactions().collect().select(keys).equals(whole.interactions("train").collect().select(keys))
    assert 0 < tuned.interactions("test").collect().height < 24
    assert tuned.users().equals(whole.users())
    assert (whole.meta.split, whole.meta.cutoff) == ("fixed", None)


def test_a_split_value_that_is_not_listed_is_rejected(tmp_path: Path) -> None:
    folder = write_source(tmp_path / "logs")
    plays_frame().with_columns(pl.Series("split", ["train", "test", "valid"] * 24)).write_csv(folder / "plays.csv")
    metrics = import_source(folder).manifest.metrics
    assert metrics["rejected"] == {"split value not listed in the card": 24}


def test_a_random_split_of_an_import_follows_its_seed(tmp_path: Path) -> None:
    folder = write_source(tmp_path / "logs")
    once = Dataset.open(import_source(folder, "split.kind=random"))
    train = once.interactions("train").collect()
    assert once.meta.split == "random"
    tuned = Dataset.open(import_source(folder, "split.kind=random", "split.holdout=validation"))
    assert tuned.interactions().collect().drop("split").equals(train.drop("split"))
    other = import_source(folder, "split.kind=random", "run.seed=1")
    assert other.content_hash != once.batch.content_hash


def test_the_configuration_may_set_roles(tmp_path: Path) -> None:
    folder = write_source(tmp_path / "logs")
    meta = Dataset.open(
        import_source(folder, 'dataset.targets=["podcast"]', 'dataset.strong=["stream","follow"]', "dataset.weak=[]")
    ).meta
    assert (meta.targets, meta.strong, meta.weak) == (("podcast",), ("stream", "follow"), ())
    with pytest.raises(ConfigError, match="did you mean 'podcast'"):
        import_source(folder, 'dataset.targets=["podcst"]')


def test_time_is_split_by_the_default_horizon(tmp_path: Path) -> None:
    batch = import_source(write_source(tmp_path / "logs"))
    last = plays_frame()["timestamp"].max()
    late = plays_frame().filter(pl.col("timestamp") > last - 14 * DAY).height
    assert batch.manifest.metrics["split"]["test"] == late
    assert load_config().split.horizon_days == 14
