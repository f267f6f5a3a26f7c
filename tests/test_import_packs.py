"""The bundled cards on the real packs: every count of the packs' own notes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl
import pytest

from graphkit.artefacts import Batch, Workspace
from graphkit.config import load_config
from graphkit.datasets.cards import read_card
from graphkit.datasets.ingest import import_dataset
from graphkit.datasets.store import Dataset

Packs = dict[str, Batch]


@pytest.fixture(scope="module")
def packs(data_packs: Path, tmp_path_factory: pytest.TempPathFactory) -> Packs:
    """Each pack, imported once."""
    root = tmp_path_factory.mktemp("packs")
    made = {}
    for name in ("eswc2015", "amazon2014_dev", "ml_latest_small", "gowalla_lightgcn", "podcasts_catalogue"):
        if not (data_packs / name).is_dir():
            pytest.skip(f"no pack {name}")
        config = load_config(recommended=read_card(name).config)
        made[name] = import_dataset(Workspace(root / name), name, data_packs / name, config, strict=True)
    return made


def types_of(batch: Batch) -> dict[str, dict[str, Any]]:
    return {row["type"]: row for row in batch.manifest.metrics["types"]}


# type: rows, users, items with a row, catalogue, titled
ESWC = {
    "book": (11_600, 1_398, 2_609, 4_543, 4_543),
    "movie": (638_268, 32_159, 5_389, 5_395, 5_395),
    "music": (1_093_851, 52_072, 6_372, 6_374, 6_374),
}
AMAZON = {
    "beauty": (25_416, 2_217, 7_508, 7_508, 6_097),
    "electronics": (31_367, 2_217, 10_526, 10_526, 0),
    "food": (41_901, 3_600, 9_602, 9_602, 6_813),
    "kitchen": (45_721, 3_600, 13_003, 13_003, 12_710),
}


@pytest.mark.parametrize(
    ("name", "per_type", "train", "test", "users"),
    [
        ("eswc2015", ESWC, 1_595_085, 148_634, 59_083),
        ("amazon2014_dev", AMAZON, 115_721, 28_684, 4_828),
    ],
)
def test_rows_users_and_items_are_those_of_the_pack(
    packs: Packs, name: str, per_type: dict[str, tuple[int, ...]], train: int, test: int, users: int
) -> None:
    dataset = Dataset.open(packs[name])
    found = dataset.interactions().collect()
    sides = dict(found["split"].value_counts().rows())
    assert (sides["train"], sides["test"], dataset.users().height) == (train, test, users)
    for item_type, numbers in per_type.items():
        rows, items = found.filter(pl.col("item_type") == item_type), dataset.items(item_type)
        counted = (
            rows.height,
            rows["user"].n_unique(),
            rows["item"].n_unique(),
            items.height,
            items["title"].count(),
        )
        assert counted == numbers
        assert items["item"].to_list() == list(range(items.height))


@pytest.mark.parametrize("name", ["eswc2015", "amazon2014_dev"])
def test_warm_and_cold_users_are_those_of_the_pack(packs: Packs, data_packs: Path, name: str) -> None:
    theirs = pl.read_parquet(data_packs / name / "users.parquet")
    expected = {(t, g): n for t, g, n in theirs.group_by("target_type", "group").len().rows()}
    found = packs[name].manifest.metrics["test_users"]
    ours = {(row["target"], group): row[group] for row in found for group in ("warm", "cold", "no_history")}
    assert {key: count for key, count in ours.items() if count} == expected


def test_ids_round_trip_and_every_shipped_side_is_kept(packs: Packs, data_packs: Path) -> None:
    for name in ("eswc2015", "amazon2014_dev"):
        dataset = Dataset.open(packs[name])
        columns = ["user_id", "item_type", "item_id", "split"]
        ours = (
            dataset.interactions().collect().join(dataset.users().select("user", "user_id"), on="user")
            .join(dataset.items().select("item_type", "item", "item_id"), on=["item_type", "item"]).select(columns)
        )  # fmt: skip
        theirs = pl.read_parquet(data_packs / name / "interactions.parquet", columns=columns).select(columns)
        assert ours.sort(columns).equals(theirs.sort(columns))


def test_amazon_keeps_its_cut_off(packs: Packs) -> None:
    meta = Dataset.open(packs["amazon2014_dev"]).meta
    assert meta.split == "time"
    assert str(meta.cutoff) == "2014-01-29 00:00:00+00:00"
    assert str(meta.label_start) == "2013-10-31 00:00:00+00:00"  # 90 days before
    assert meta.config["graph"] == {"window_days": "none"}


def test_eswc_has_no_moments(packs: Packs) -> None:
    meta = Dataset.open(packs["eswc2015"]).meta
    assert (meta.split, meta.cutoff, meta.label_start) == ("fixed", None, None)


def test_interactions_are_sorted_and_typed(packs: Packs) -> None:
    for batch in packs.values():
        rows = Dataset.open(batch).interactions().collect()
        keys = ["user", "timestamp", "item_type", "item", "signal"]
        assert rows.select(keys).equals(rows.select(keys).sort(keys))
        assert {name: str(dtype) for name, dtype in rows.schema.items()} == {
            "user": "UInt32",
            "item_type": "String",
            "item": "UInt32",
            "signal": "String",
            "timestamp": "Datetime(time_unit='ms', time_zone='UTC')",
            "seconds": "Float32",
            "split": "String",
        }


def test_movielens_ratings_become_signals(packs: Packs) -> None:
    batch = packs["ml_latest_small"]
    dataset = Dataset.open(batch)
    rows = dataset.interactions().collect()
    signals = dict(rows["signal"].value_counts().rows())
    assert signals["like"] + signals["rate"] == 100_836
    assert signals["like"] == 26_818 + 8_551 + 13_211  # ratings of 4, 4.5 and 5
    assert signals["tag"] + batch.manifest.metrics["duplicates_dropped"] == 3_683
    rated = rows.filter(pl.col("signal") != "tag")
    assert (rated["item"].n_unique(), dataset.items().height, dataset.users().height) == (9_724, 9_742, 610)
    assert str(rows["timestamp"].min())[:10] == "1996-03-29"
    assert str(rows["timestamp"].max())[:10] == "2018-09-24"
    assert dataset.items()["genre"].str.contains("Comedy|Drama", literal=True).any()


def test_gowalla_gets_its_catalogue_from_the_interactions(packs: Packs) -> None:
    batch = packs["gowalla_lightgcn"]
    assert batch.manifest.metrics["split"] == {"kind": "fixed", "train": 810_128, "test": 217_242}
    assert (batch.manifest.row_counts["items"], batch.manifest.row_counts["users"]) == (40_981, 29_858)
    assert "no items table" in batch.manifest.metrics["notes"]


def test_a_catalogue_with_links_and_without_users_is_a_dataset(packs: Packs, data_packs: Path) -> None:
    batch = packs["podcasts_catalogue"]
    dataset = Dataset.open(batch)
    assert dataset.meta.split == "none"
    assert dataset.meta.num_items == {"podcast": 7_148, "audiobook": 4_013}
    assert dataset.interactions().collect().height == dataset.users().height == 0
    links = pl.read_parquet(batch.path("links.parquet"))
    assert dict(links["split"].value_counts().rows()) == {"train": 19_879, "test": 2_240}
    ids = dataset.items("podcast").select(pl.col("item"), pl.col("item_id"))
    ours = (
        links.join(ids.rename({"item": "src", "item_id": "src_id"}), on="src")
        .join(ids.rename({"item": "dst", "item_id": "dst_id"}), on="dst")
        .select("src_id", "dst_id", pl.col("rank").cast(pl.Int16), "split")
    )
    theirs = pl.read_parquet(data_packs / "podcasts_catalogue" / "also_subscribed.parquet").drop_nulls("split")
    columns = ["src_id", "dst_id", "rank", "split"]
    assert ours.sort(columns).equals(theirs.select(columns).sort(columns))


def test_a_held_out_validation_reads_no_test_row(data_packs: Path, tmp_path: Path) -> None:
    config = load_config(overrides=["split.holdout=validation"], recommended=read_card("amazon2014_dev").config)
    batch = import_dataset(Workspace(tmp_path), "amazon2014_dev", data_packs / "amazon2014_dev", config)
    dataset = Dataset.open(batch)
    rows = dataset.interactions().collect()
    assert rows.height == 115_721
    assert str(rows["timestamp"].max())[:10] == "2014-01-28"
    assert str(dataset.meta.cutoff)[:10] == "2013-10-31"
    assert rows.filter(pl.col("split") == "test")["timestamp"].min() >= dataset.meta.cutoff
    assert rows.filter(pl.col("split") == "train")["timestamp"].max() < dataset.meta.cutoff
    assert dataset.users().height == 4_828
