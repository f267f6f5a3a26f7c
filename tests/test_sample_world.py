"""The sample world: contract, reproducibility, and the statistics it plants."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphkit.artefacts import Workspace
from graphkit.config import load_config
from graphkit.datasets.store import Dataset
from graphkit.errors import ConfigError
from graphkit.synthetic import world
from graphkit.synthetic.draws import Groups, draw_column, round_keeping_total
from graphkit.synthetic.signals import PATTERNS, plant
from graphkit.synthetic.sizes import SIZES
from graphkit.synthetic.texts import creator_names
from graphkit.synthetic.topics import topics_of

START = datetime(2025, 5, 6, tzinfo=UTC)  # 240 days before 2026
END = datetime(2026, 1, 1, tzinfo=UTC)


def sample(folder: Path, *overrides: str) -> Dataset:
    config = load_config("default", ["sample.size=tiny", *overrides])
    return Dataset.open(world.sample_world(Workspace(folder), config))


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return sample(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    return sample(tmp_path_factory.mktemp("small"), "sample.size=small")


def measured(dataset: Dataset, start: str) -> dict[str, Any]:
    (row,) = [row for row in dataset.meta.statistics if row["name"].startswith(start)]
    return row


# --- the dataset contract ------------------------------------------------------------------------


def test_tables_have_the_columns_and_dtypes_of_the_dataset_artefact(tiny: Dataset) -> None:
    time = pl.Datetime("ms", "UTC")
    assert dict(tiny.interactions().collect_schema()) == {
        "user": pl.UInt32,
        "item_type": pl.String,
        "item": pl.UInt32,
        "signal": pl.String,
        "timestamp": time,
        "seconds": pl.Float32,
        "split": pl.String,
    }
    text = ["item_id", "title", "description", "language", "genre", "creator"]
    assert dict(tiny.items().schema) == {"item_type": pl.String, "item": pl.UInt32, **dict.fromkeys(text, pl.String)}
    assert dict(tiny.users().schema) == {
        "user": pl.UInt32,
        "user_id": pl.String,
        "age": pl.Int16,
        "country": pl.String,
        "registered_at": time,
        "onboarding_items": pl.List(pl.String),
        "onboarding_languages": pl.List(pl.String),
    }
    playlists = pl.read_parquet(tiny.batch.path("playlists.parquet"))
    assert playlists.columns == ["playlist_id", "user", "item_type", "item", "position"]


def test_counts_are_those_of_the_size(tiny: Dataset) -> None:
    rows = tiny.interactions().collect()
    assert rows.height == tiny.batch.manifest.row_counts["interactions"] == 24_000
    assert tiny.meta.num_users == tiny.users().height == 400
    assert tiny.meta.num_items == {"audiobook": 60, "podcast": 120, "track": 180}
    assert sorted(rows["user"].unique().to_list()) == list(range(400))


@pytest.mark.parametrize("item_type", ["audiobook", "podcast", "track"])
def test_items_are_numbered_within_their_type_and_complete(tiny: Dataset, item_type: str) -> None:
    items = tiny.items(item_type)
    assert items["item"].to_list() == list(range(tiny.meta.num_items[item_type]))
    assert items["item_id"].n_unique() == items.height
    assert items.null_count().sum_horizontal().item() == 0
    assert tiny.items()["item_type"].is_sorted()
    met = tiny.interactions().filter(pl.col("item_type") == item_type).collect()["item"]
    assert met.max() < items.height


def test_rows_are_sorted_by_user_then_time(small: Dataset) -> None:
    rows = small.interactions().select("user", "timestamp").collect()
    assert rows.equals(rows.sort("user", "timestamp", maintain_order=True))


def test_playlists_and_onboarding_name_known_items(tiny: Dataset) -> None:
    playlists = pl.read_parquet(tiny.batch.path("playlists.parquet"))
    items = tiny.items()
    assert playlists.height
    assert playlists.join(items, on=["item_type", "item"], how="anti").is_empty()
    assert playlists.group_by("playlist_id").agg(pl.col("position").max() == pl.len() - 1)["position"].all()
    picked = tiny.users()["onboarding_items"].explode(empty_as_null=False)
    assert picked.len()
    assert picked.is_in(items["item_id"].implode()).all()
    assert (tiny.users()["onboarding_languages"].list.len() > 0).all()


# --- time ----------------------------------------------------------------------------------------


def test_everything_happens_within_240_days_and_after_registration(small: Dataset) -> None:
    rows = small.interactions().join(small.users().lazy(), on="user").collect()
    assert START <= rows["timestamp"].min() < START + timedelta(days=1)
    assert END - timedelta(days=1) < rows["timestamp"].max() < END
    # The clock moves times within their day, so registration is compared by the day.
    assert (rows["timestamp"].dt.date() >= rows["registered_at"].dt.date()).all()


def test_the_last_14_days_are_test(tiny: Dataset) -> None:
    cutoff = END - timedelta(days=14)
    assert tiny.meta.cutoff == cutoff
    rows = tiny.interactions().collect()
    assert ((rows["timestamp"] >= cutoff) == (rows["split"] == "test")).all()
    assert rows["split"].unique().sort().to_list() == ["test", "train"]


def test_validation_holdout_drops_the_test_rows_and_changes_no_other(tiny: Dataset, tmp_path: Path) -> None:
    held = sample(tmp_path, "split.holdout=validation")
    assert held.meta.cutoff == END - timedelta(days=28)
    columns = pl.exclude("split")
    kept = tiny.interactions("train").select(columns).collect()
    assert held.interactions().select(columns).collect().equals(kept)


def test_weak_signals_precede_the_streams_of_their_pair(small: Dataset) -> None:
    weak = pl.col("signal") != "stream"
    pairs = (
        small.interactions()
        .group_by("user", "item_type", "item")
        .agg(
            pl.col("timestamp").filter(weak).max().alias("weak"),
            pl.col("timestamp").filter(~weak).min().alias("stream"),
        )
        .collect()
    )
    both = pairs.drop_nulls()
    assert both.height > 5_000
    assert (both["weak"] < both["stream"]).all()
    assert pairs.filter(pl.col("stream").is_null()).height > 1_000


def test_streams_alone_have_seconds(tiny: Dataset) -> None:
    rows = tiny.interactions().collect()
    assert (rows["seconds"].is_null() == (rows["signal"] != "stream")).all()
    assert rows["seconds"].min() >= 5


def test_test_period_brings_new_users_and_new_items(small: Dataset) -> None:
    books = small.interactions().filter(pl.col("item_type") == "audiobook").collect()
    train, test = books.filter(split="train"), books.filter(split="test", signal="stream")
    cold = test.join(train, on="user", how="anti")["user"].n_unique()
    assert 0.1 < cold / test["user"].n_unique() < 0.5
    new = test.join(train, on="item", how="anti")["item"].n_unique()
    assert new >= 10


def test_nothing_is_met_before_it_comes_out_and_some_of_it_comes_out_late(small: Dataset) -> None:
    catalogue, _ = world.make_catalogue(SIZES["small"], 0)
    released = pl.concat(
        [
            pl.DataFrame({"item_type": item_type, "item": np.arange(len(days), dtype=np.uint32), "day": days})
            for item_type, days in zip(small.meta.types, (items.release_day for items in catalogue), strict=True)
        ]
    )
    late = released.filter(pl.col("day") >= 226).group_by("item_type").len()
    assert late["len"].min() >= 15  # 3 % of each type come out in the test period
    first = small.interactions().group_by("item_type", "item").agg(pl.col("timestamp").min()).collect()
    met = first.join(released, on=["item_type", "item"])
    assert ((met["timestamp"] - START).dt.total_days() >= met["day"]).all()


# --- reproducible --------------------------------------------------------------------------------


def test_same_seed_same_bytes_and_another_seed_another_world(tiny: Dataset, tmp_path: Path) -> None:
    again, other = sample(tmp_path / "again"), sample(tmp_path / "other", "run.seed=1")
    assert again.batch.manifest.files == tiny.batch.manifest.files
    same = {name for name, digest in other.batch.manifest.files.items() if digest == tiny.batch.manifest.files[name]}
    assert same == set()


def test_any_block_can_be_made_again_on_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    size = replace(SIZES["tiny"], block_users=150)
    monkeypatch.setitem(world.SIZES, "tiny", size)
    dataset = sample(tmp_path)
    parts = sorted(path.name for path in dataset.batch.path("interactions").iterdir())
    assert parts == ["part-00000.parquet", "part-00001.parquet", "part-00002.parquet"]
    assert dataset.interactions().collect().height == size.interactions
    assert dataset.users()["user"].to_list() == list(range(400))
    catalogue = world.make_catalogue(size, 0)[0]
    block, other = (world.make_block(size, catalogue, 0, number) for number in (1, 0))
    assert block.users["country"].to_list() != other.users["country"].to_list()
    written = pl.read_parquet(dataset.batch.path("interactions/part-00001.parquet"))
    assert written.drop("split").equals(block.interactions)
    assert written["user"].unique().sort().to_list() == list(range(150, 300))


# --- what is planted -----------------------------------------------------------------------------


def test_section_3_is_measured_near_its_targets(small: Dataset) -> None:
    assert measured(small, "hours made by the busiest")["measured"] == pytest.approx(0.75, abs=0.03)
    assert 0.80 < measured(small, "hours taken by the top 20 % of audiobook")["measured"] < 0.90
    assert 0.70 < measured(small, "audiobook users with a podcast")["measured"] < 0.85
    text = measured(small, "text similarity of audiobook")
    assert text["measured"] > 1.3 * text["target"] > 0
    follow, preview, intent = (
        measured(small, f"{signal} before")["measured"] for signal in ("follow", "preview", "intent_to_pay")
    )
    assert follow == pytest.approx(2.18, abs=0.12)
    assert preview == pytest.approx(1.18, abs=0.05)
    assert intent == pytest.approx(1.13, abs=0.05)
    assert follow > preview > intent


def test_statistics_are_said_to_be_planted_and_have_quantiles(tiny: Dataset) -> None:
    assert tiny.meta.planted
    assert all(row["planted"] for row in tiny.meta.statistics)
    row = measured(tiny, "distinct items per user")
    assert list(row["quantiles"]) == ["0.1", "0.25", "0.5", "0.75", "0.9", "0.99"]
    assert row["users"] == 400
    json.dumps(tiny.meta.statistics, allow_nan=False)


def test_quantiles_of_distinct_items_are_heavy_tailed_and_plausible(small: Dataset) -> None:
    quantiles = measured(small, "distinct items per user")["quantiles"]
    assert 25 <= quantiles["0.5"] <= 60
    assert quantiles["0.99"] > 5 * quantiles["0.5"]


def test_planted_chances_give_the_papers_odds_for_each_signal_alone() -> None:
    patterns = PATTERNS[0]
    assert sum(p.share for p in patterns) == pytest.approx(1)
    for index, odds in enumerate((2.18, 1.18, 1.13)):
        share, streams = [0.0, 0.0], [0.0, 0.0]
        for pattern in patterns:
            share[pattern.signals[index]] += pattern.share
            streams[pattern.signals[index]] += pattern.share * pattern.chance
        without, having = (s / n for s, n in zip(streams, share, strict=True))
        assert having / (1 - having) / (without / (1 - without)) == pytest.approx(odds, abs=0.005)


def test_plant_keeps_the_quota_of_each_pattern_up_to_any_moment() -> None:
    meets = np.random.default_rng(1).permutation(5_000)
    signals, streamed = plant(np.random.default_rng(0), 0, meets)
    for pattern in PATTERNS[0]:
        mine = (signals == pattern.signals).all(axis=1)
        assert mine.sum() == pytest.approx(0.6 * pattern.share * 5_000, abs=2)
        early = mine & (meets < 2_000)
        assert streamed[early].sum() == pytest.approx(pattern.chance * early.sum(), abs=2)
    assert streamed[~signals.any(axis=1)].all()


def test_popularity_says_nothing_about_the_row(small: Dataset) -> None:
    for item_type, count in small.meta.num_items.items():
        rows = small.interactions().filter(pl.col("item_type") == item_type).collect()
        streams = np.bincount(rows["item"], minlength=count)
        rank = np.argsort(np.argsort(streams, kind="stable"), kind="stable")
        assert abs(np.corrcoef(np.arange(count), rank)[0, 1]) < 0.1


def test_tastes_are_shared_across_types(small: Dataset) -> None:
    """A user's audiobooks are of the genres of the user's podcasts, far above chance."""
    genres = small.items().with_columns(pl.col("genre").str.split("|").list.first())
    top = (
        small.interactions(signals=["stream"])
        .filter(pl.col("item_type") != "track")
        .join(genres.lazy(), on=["item_type", "item"])
        .group_by("user", "item_type", "genre")
        .len()
        .sort("user", "item_type", "len", "genre")
        .group_by("user", "item_type", maintain_order=True)
        .last()
        .collect()
    )
    both = top.filter(item_type="audiobook").join(top.filter(item_type="podcast"), on="user")
    agreement = (both["genre"] == both["genre_right"]).mean()
    assert isinstance(agreement, float)
    assert agreement > 0.3  # by chance about 0.05, of 20 genres


def test_texts_vary_from_item_to_item(small: Dataset) -> None:
    items = small.items()
    assert items["description"].n_unique() > 0.95 * items.height
    assert items["title"].n_unique() > 0.7 * items.height


# --- its parts -----------------------------------------------------------------------------------


def test_topics_are_complete_and_distinct() -> None:
    topics = topics_of(20, 5)
    assert len({topic.genre for topic in topics}) == len(topics) == 20
    subtopics = [name for topic in topics for name in topic.subtopics]
    assert len(set(subtopics)) == len(subtopics) == 100
    assert all(len(set(phrases)) == 8 for topic in topics for phrases in topic.subtopics.values())


@pytest.mark.parametrize("item_type", [0, 1, 2])
def test_creator_names_never_repeat(item_type: int) -> None:
    names = creator_names(item_type, 40_000)
    assert len(set(names)) == 40_000


@given(st.lists(st.floats(0, 5), min_size=1, max_size=30), st.integers(0, 2**20))
def test_rounding_keeps_the_total_and_stays_near_the_expected(expected: list[float], seed: int) -> None:
    counts = round_keeping_total(np.random.default_rng(seed), np.array(expected))
    assert counts.sum() == round(sum(expected))
    assert (counts >= 0).all()
    assert np.abs(counts - expected).max() < 2


def test_groups_draw_their_own_members_by_weight() -> None:
    groups = Groups.of(np.array([1, 0, 1]), np.array([7, 8, 9]), np.array([3.0, 1.0, 1.0]), 2)
    drawn = groups.draw(np.random.default_rng(0), np.tile([0, 1], 10_000)).reshape(-1, 2)
    assert set(drawn[:, 0]) == {8}
    assert set(drawn[:, 1]) == {7, 9}
    assert (drawn[:, 1] == 7).mean() == pytest.approx(0.75, abs=0.02)


def test_columns_are_drawn_in_proportion_and_never_where_the_weight_is_zero() -> None:
    drawn = draw_column(np.random.default_rng(0), np.tile([0.0, 1.0, 3.0, 0.0], (10_000, 1)))
    assert set(drawn) == {1, 2}
    assert (drawn == 2).mean() == pytest.approx(0.75, abs=0.02)


# --- refusals ------------------------------------------------------------------------------------


@pytest.mark.parametrize("override", ["split.kind=random", "dataset.targets=[audiobok]", "dataset.strong=[strem]"])
def test_settings_the_world_cannot_follow_are_refused(tmp_path: Path, override: str) -> None:
    with pytest.raises(ConfigError):
        sample(tmp_path, override)


def test_an_up_to_date_world_is_not_made_again(tiny: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "make_catalogue", None)
    workspace = Workspace(tiny.batch.folder.parents[1])
    config = load_config("default", ["sample.size=tiny"])
    assert world.sample_world(workspace, config).id == tiny.batch.id
