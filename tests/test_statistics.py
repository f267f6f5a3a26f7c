"""Section 3's statistics on hand-made tables, where each can be worked out."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from graphkit.datasets import statistics
from graphkit.datasets.statistics import measure_tables
from graphkit.datasets.store import DatasetMeta
from graphkit.datasets.text_similarity import co_listened_similarity
from graphkit.datasets.weak_signals import signal_odds

CUTOFF = datetime(2024, 6, 1, tzinfo=UTC)
Event = tuple[int, str, int, str, int, float | None]  # user, type, item, signal, day before the cut-off, seconds


def table(*events: Event) -> pl.DataFrame:
    rows = [
        {
            "user": user,
            "item_type": item_type,
            "item": item,
            "signal": signal,
            "timestamp": CUTOFF - timedelta(days=day),
            "seconds": seconds,
            "split": "train" if day > 0 else "test",
        }
        for user, item_type, item, signal, day, seconds in events
    ]
    schema = {
        "user": pl.UInt32,
        "item_type": pl.String,
        "item": pl.UInt32,
        "signal": pl.String,
        "timestamp": pl.Datetime("ms", "UTC"),
        "seconds": pl.Float32,
        "split": pl.String,
    }
    return pl.DataFrame(rows, schema=schema)


def catalogue(**texts: list[str]) -> pl.DataFrame:
    return pl.DataFrame(
        [
            {"item_type": item_type, "item": item, "title": text, "description": None}
            for item_type, all_texts in texts.items()
            for item, text in enumerate(all_texts)
        ],
        schema={"item_type": pl.String, "item": pl.UInt32, "title": pl.String, "description": pl.String},
    )


def meta(**fields: Any) -> DatasetMeta:
    given: dict[str, Any] = {
        "name": "by hand",
        "types": ("book", "podcast"),
        "targets": ("book",),
        "strong": ("stream",),
        "weak": ("follow",),
        "split": "time",
        "cutoff": CUTOFF,
        "num_users": 4,
        "num_items": {"book": 5, "podcast": 5},
    }
    return DatasetMeta(**{**given, **fields})


def rows_of(events: pl.DataFrame, **fields: Any) -> dict[str, dict[str, Any]]:
    texts = catalogue(book=["a"] * 5, podcast=["a"] * 5)
    return {row["name"]: row for row in measure_tables(events.lazy(), texts, meta(**fields))}


HOURS = table(
    (0, "book", 0, "stream", 5, 600.0),
    (1, "book", 1, "stream", 5, 100.0),
    (2, "book", 1, "stream", 5, 60.0),
    (3, "book", 2, "stream", 5, 40.0),
    (3, "book", 2, "stream", 91, 9000.0),  # outside the 90 days
    (3, "book", 2, "stream", 0, 9000.0),  # in the test period
    (3, "podcast", 0, "stream", 5, 9000.0),  # no target type
    (3, "book", 2, "follow", 5, None),  # not strong
)


def test_concentration_of_hours_over_users_and_titles() -> None:
    rows = rows_of(HOURS)
    assert rows["hours made by the busiest 25 % of users"]["measured"] == 0.75  # 600 of 800, one user of four
    assert rows["hours taken by the top 20 % of book titles"]["measured"] == 0.75  # one title of five
    assert rows["hours made by the busiest 25 % of users"]["target"] == 0.75
    assert not rows["hours made by the busiest 25 % of users"]["planted"]


def test_without_seconds_interactions_are_counted() -> None:
    events = HOURS.with_columns(pl.lit(None, pl.Float32).alias("seconds"))
    rows = rows_of(events)
    assert rows["interactions taken by the top 20 % of book titles"]["measured"] == 0.5  # two of four


def test_earlier_type_is_counted_strictly_before_and_over_all_who_have_the_target() -> None:
    events = table(
        (0, "podcast", 0, "stream", 9, 1.0),
        (0, "book", 0, "stream", 8, 1.0),
        (1, "book", 0, "stream", 9, 1.0),
        (1, "podcast", 0, "stream", 8, 1.0),
        (2, "book", 0, "stream", 8, 1.0),
        (2, "podcast", 0, "stream", 8, 1.0),
        (3, "book", 0, "stream", 7, 1.0),
        (3, "podcast", 1, "follow", 9, None),
    )
    row = rows_of(events)["book users with a podcast before their first book"]
    assert (row["measured"], row["users"], row["target"]) == (0.25, 4, 0.7)


def test_distinct_items_count_who_has_none_and_no_test_row() -> None:
    events = table(
        (0, "book", 0, "stream", 9, 1.0),
        (0, "book", 0, "stream", 8, 1.0),
        (0, "book", 1, "stream", 8, 1.0),
        (1, "book", 1, "stream", 8, 1.0),
        (1, "book", 2, "stream", 0, 1.0),
    )
    rows = rows_of(events)
    assert rows["distinct items per user"]["quantiles"]["0.25"] == 0
    assert rows["distinct items per user"]["quantiles"]["0.99"] == 2
    assert rows["distinct book items per book user"]["users"] == 2


def test_test_period_counts_users_and_titles_never_met_before() -> None:
    events = table(
        (0, "book", 0, "follow", 3, None),
        (0, "book", 1, "stream", 0, 1.0),
        (1, "book", 0, "stream", 0, 1.0),
        (2, "book", 0, "follow", 0, None),
    )
    rows = rows_of(events)
    row = rows["test users of book without book interactions in train"]
    assert (row["measured"], row["count"]) == (0.5, 2)
    assert rows["test titles of book without book interactions in train"]["measured"] == 0.5


def test_a_dataset_without_timestamps_is_measured_where_it_can_be() -> None:
    nothing = {"timestamp": pl.lit(None, pl.Datetime("ms", "UTC")), "seconds": pl.lit(None, pl.Float32)}
    events = HOURS.with_columns(**nothing, split=pl.lit("train"))
    rows = rows_of(events, cutoff=None, split="none", weak=())
    assert rows["interactions made by the busiest 25 % of users"]["scope"] == "all users, all of train"
    assert not [name for name in rows if "before" in name or name.startswith("test")]


def test_large_datasets_are_measured_on_a_stated_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(statistics, "MAX_USERS", 2)
    rows = rows_of(HOURS)
    assert rows["distinct items per user"]["scope"] == "2 of 4 users, train"
    assert rows["distinct items per user"]["users"] == 2
    assert rows["hours made by the busiest 25 % of users"]["measured"] == 0.75  # still of all users


def test_odds_ratio_is_the_cross_product_over_pairs_with_a_weak_signal_first() -> None:
    def pair(user: int, signals: tuple[str, ...], streamed: bool) -> list[Event]:
        weak: list[Event] = [(user, "book", 0, signal, 9, None) for signal in signals]
        return weak + ([(user, "book", 0, "stream", 5, 1.0)] if streamed else [])

    kinds = [(("follow",), True)] * 6 + [(("follow",), False)] * 2 + [(("preview",), True)] * 3
    kinds += [(("preview",), False)] * 3 + [((), True)] * 50  # streams out of the blue are not at risk
    events = [event for user, kind in enumerate(kinds) for event in pair(user, *kind)]
    events += [(99, "book", 0, "stream", 9, 1.0), (99, "book", 0, "follow", 5, None)]  # the signal came after
    found = {odds.signal: odds for odds in signal_odds(table(*events), ["stream"], ["follow", "preview", "like"])}
    assert found["follow"].ratio == pytest.approx((6 / 2) / (3 / 3))
    assert found["preview"].ratio == pytest.approx(1 / 3)
    assert found["follow"].pairs == 14
    assert found["follow"].low < found["follow"].ratio < found["follow"].high
    assert "like" not in found


def test_co_listened_texts_are_closer_when_users_keep_to_a_topic() -> None:
    texts = [f"dragon castle wizard {i}" for i in range(10)] + [f"stock market profit {i}" for i in range(10)]
    listened = pl.DataFrame(
        {
            "user": [u for u in range(20) for _ in range(10)],
            "item": [i + 10 * (u % 2) for u in range(20) for i in range(10)],
        },
        schema={"user": pl.UInt32, "item": pl.UInt32},
    )
    result = co_listened_similarity(listened, catalogue(book=texts))
    assert result is not None
    assert result.pairs <= 90  # both topics' distinct pairs
    assert result.co_listened > result.random + 0.2


def test_no_shared_user_or_no_text_gives_no_similarity() -> None:
    lonely = pl.DataFrame({"user": [0, 1], "item": [0, 1]}, schema={"user": pl.UInt32, "item": pl.UInt32})
    assert co_listened_similarity(lonely, catalogue(book=["one", "two"])) is None
    assert co_listened_similarity(lonely, catalogue(book=["", ""])) is None
