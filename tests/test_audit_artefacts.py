"""Leaks planted in examples, edge weights, bundle and evaluation of a finished chain: each is named."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from planted import change_example, edit_json, edit_table, edit_tensors, folder, leaks, named_rows, only_leak

from graphkit.artefacts import Workspace
from graphkit.datasets.store import Dataset, DatasetMeta

LATE = timedelta(days=3)


@pytest.fixture
def meta(finished_chain: Path) -> DatasetMeta:
    return Dataset.current(Workspace(finished_chain)).meta


@pytest.fixture
def rows(finished_chain: Path) -> pl.DataFrame:
    return named_rows(finished_chain)


def example(root: Path, place: int = 5) -> dict:
    return pl.read_parquet(folder(root, "towers") / "examples.parquet").row(place, named=True)


def test_a_label_from_the_test_period(own_chain: Path, rows: pl.DataFrame) -> None:
    """A test row among the examples."""
    train = pl.col("split") == "train"
    pair = ["user", "item_type", "item"]
    strong = rows.filter((pl.col("signal") == "stream") & (pl.col("item_type") == "audiobook"))
    new = strong.filter(~train).join(strong.filter(train), on=pair, how="anti")
    test = new.sort("timestamp").row(0, named=True)
    change_example(
        own_chain, user=test["user"], item_type="audiobook", item=test["item"], timestamp=test["timestamp"]
    )
    first = next(f for f in leaks(own_chain) if f.check == "labels are train rows of the label period").first_offender
    assert (first["user_id"], first["item_id"]) == (test["user_id"], test["item_id"])
    assert (first["split"], first["timestamp"]) == ("test", test["timestamp"].isoformat())
    assert first["stored_in"].endswith("examples.parquet")


def test_a_label_at_a_time_it_was_not_met(own_chain: Path, meta: DatasetMeta) -> None:
    change_example(own_chain, timestamp=meta.cutoff + LATE)
    leak = only_leak(own_chain)
    assert leak.check == "labels are train rows of the label period"
    assert leak.first_offender["label_time"] == (meta.cutoff + LATE).isoformat()


def test_a_label_that_its_user_had_before(own_chain: Path, rows: pl.DataFrame, meta: DatasetMeta) -> None:
    strong = rows.filter((pl.col("signal") == "stream") & (pl.col("split") == "train"))
    before, within = (strong.filter(keep) for keep in
                      (pl.col("timestamp") < meta.label_start, pl.col("timestamp") >= meta.label_start))  # fmt: skip
    again = within.filter(pl.col("item_type") == "podcast").join(before, on=["user", "item_type", "item"])
    row = again.row(0, named=True)
    change_example(
        own_chain, user=row["user"], item_type="podcast", item=row["item"], timestamp=row["timestamp"], pooled_items=0
    )
    found = {finding.check: finding.first_offender for finding in leaks(own_chain)}
    assert "labels are train rows of the label period" not in found
    first = found["labels are new to their user"]
    assert (first["user_id"], first["item_id"]) == (row["user_id"], row["item_id"])
    assert datetime.fromisoformat(first["timestamp"]) < meta.label_start


def test_a_user_trained_on_and_validated_on(own_chain: Path) -> None:
    examples = pl.read_parquet(folder(own_chain, "towers") / "examples.parquet").with_row_index()
    count = pl.len().over("user")
    several = examples.filter(~pl.col("validation") & (count > 1)).row(0, named=True)
    change_example(own_chain, several["index"], validation=True)
    leak = only_leak(own_chain)
    assert leak.check == "no user is trained on and validated on"
    assert leak.first_offender["side"] == "validation"


def test_features_that_end_after_the_label_period_starts(own_chain: Path, meta: DatasetMeta) -> None:
    change_example(own_chain, features_end=meta.label_start + timedelta(milliseconds=1))
    leak = only_leak(own_chain)
    assert leak.check == "features end where the label period starts"
    assert leak.first_offender["features_end"] == (meta.label_start + timedelta(milliseconds=1)).isoformat()


def test_an_example_that_pools_its_own_label(own_chain: Path) -> None:
    change_example(own_chain, pooled_items=example(own_chain)["pooled_items"] + 1)
    leak = only_leak(own_chain)
    assert leak.check == "no example pools its label or a later row"
    assert f"{example(own_chain)['pooled_items']} history items" in leak.first_offender["why"]


@pytest.mark.parametrize("name", ["histories", "seen"])
def test_a_test_item_in_a_history(own_chain: Path, rows: pl.DataFrame, name: str) -> None:
    file, pool = f"{name}.safetensors", "podcast/strong"
    train = pl.col("split") == "train"
    strong = rows.filter((pl.col("signal") == "stream") & (pl.col("item_type") == "podcast"))
    new = strong.filter(~train).join(strong.filter(train), on=["user", "item"], how="anti").sort("timestamp")
    test: dict = {}

    def put(tensors: dict) -> None:
        indptr = tensors[f"{pool}/indptr"]
        test.update(next(row for row in new.iter_rows(named=True) if indptr[row["user"] + 1] > indptr[row["user"]]))
        tensors[f"{pool}/items"][indptr[test["user"]]] = test["item"]

    edit_tensors(own_chain, "bundle", file, put)
    leak = only_leak(own_chain)
    first = leak.first_offender
    assert (first["user_id"], first["item_id"], first["split"]) == (test["user_id"], test["item_id"], "test")
    assert first["timestamp"] == test["timestamp"].isoformat()
    assert first["stored_in"].endswith(file)


def test_a_followed_item_among_those_listened_to(own_chain: Path, rows: pl.DataFrame) -> None:
    podcasts = rows.filter((pl.col("split") == "train") & (pl.col("item_type") == "podcast"))
    strong = pl.col("signal") == "stream"
    pair = ["user", "item"]
    followed = podcasts.filter(~strong).join(podcasts.filter(strong), on=pair, how="anti").sort("timestamp")
    listened = podcasts.filter(strong)["user"].unique().implode()
    weak = followed.filter(pl.col("user").is_in(listened)).row(0, named=True)

    def put(tensors: dict) -> None:
        tensors["podcast/strong/items"][tensors["podcast/strong/indptr"][weak["user"]]] = weak["item"]

    edit_tensors(own_chain, "bundle", "seen.safetensors", put)
    first = only_leak(own_chain).first_offender
    assert (first["user_id"], first["item_id"], first["signal"]) == (weak["user_id"], weak["item_id"], weak["signal"])


@pytest.mark.parametrize(("source", "group"), [("podcast", "warm"), ("audiobook", "cold")])
def test_a_weight_between_items_that_only_test_rows_join(
    own_chain: Path, rows: pl.DataFrame, meta: DatasetMeta, source: str, group: str
) -> None:
    strong = rows.filter(pl.col("signal") == "stream")
    train = pl.col("split") == "train"
    name, start = f"podcast/{group}", 0
    for item_type in meta.types[: meta.types.index(source)]:
        start += meta.num_items[item_type]
    planted: dict = {}

    def users_of(frame: pl.DataFrame, item_type: str) -> list[set[int]]:
        pairs = frame.filter(pl.col("item_type") == item_type).group_by("item").agg("user")
        users = dict(pairs.iter_rows())
        return [set(users.get(item, ())) for item in range(meta.num_items[item_type])]

    def put(tensors: dict) -> None:
        """Lead the last edge of an item to one that it shares users with in test rows alone."""
        ever, known = ([users_of(frame, t) for t in (source, "podcast")] for frame in (strong, strong.filter(train)))
        indptr = tensors[f"{name}/indptr"][start:]
        planted["src"], planted["dst"] = next(
            (src, dst)
            for src in range(meta.num_items[source])
            for dst in range(meta.num_items["podcast"])
            if indptr[src + 1] > indptr[src]
            and ever[0][src] & ever[1][dst]
            and not known[0][src] & known[1][dst]
            and (source, src) != ("podcast", dst)
        )
        place = indptr[planted["src"] + 1] - 1
        tensors[f"{name}/indices"][place], tensors[f"{name}/weights"][place] = planted["dst"], -0.25

    for stage in ("edges", "bundle"):
        edit_tensors(own_chain, stage, "edges.safetensors", put)
    leak = only_leak(own_chain)
    assert leak.check == "weights join items shared in train rows before the cut-off"
    first = leak.first_offender
    ids = {(row["item_type"], row["item"]): row["item_id"] for row in rows.iter_rows(named=True)}
    ends = ids[source, planted["src"]], ids["podcast", planted["dst"]]
    assert (first["weights"], first["src"], first["dst"]) == (name, *ends)
    assert (first["split"], first["item_id"] in ends) == ("test", True)
    assert datetime.fromisoformat(first["timestamp"]) >= meta.cutoff
    assert first["stored_in"].endswith("edges.safetensors")
    # Without its weight it tells nothing.
    for stage in ("edges", "bundle"):
        edit_tensors(own_chain, stage, "edges.safetensors", lambda tensors: tensors[f"{name}/weights"].fill(0))
    assert leaks(own_chain) == []


def test_a_popular_item_that_test_rows_made_popular(own_chain: Path, rows: pl.DataFrame, meta: DatasetMeta) -> None:
    test = rows.filter((pl.col("split") == "test") & (pl.col("item_type") == "audiobook"))
    item = test["item"][0]

    def count_one_more(tensors: dict) -> None:
        tensors["audiobook"][item] += 1

    edit_tensors(own_chain, "bundle", "popularity.safetensors", count_one_more)
    leak = only_leak(own_chain)
    first = leak.first_offender
    assert leak.check == "popular items count train users before the cut-off"
    assert first["item_id"] == test["item_id"][0]
    assert datetime.fromisoformat(first["timestamp"]) >= meta.cutoff


@pytest.mark.parametrize("name", ["edges", "replay", "item_vectors"])
def test_a_copy_that_differs(own_chain: Path, name: str) -> None:
    file = f"{name}.safetensors"
    edit_tensors(own_chain, "bundle", file, lambda tensors: next(iter(tensors.values())).__iadd__(1))
    leak = only_leak(own_chain)
    assert leak.check == "its copies are the files of the stages"
    assert leak.first_offender["file"].endswith(file)


@pytest.mark.parametrize(("table", "column"), [("users", "user_id"), ("items", "item_id")])
def test_two_ids_in_each_other_s_place(own_chain: Path, table: str, column: str) -> None:
    def swap(frame: pl.DataFrame) -> pl.DataFrame:
        ids = frame[column].to_list()
        ids[3], ids[4] = ids[4], ids[3]
        return frame.with_columns(pl.Series(column, ids))

    stored = pl.read_parquet(folder(own_chain, "bundle") / f"{table}.parquet")[column].to_list()
    edit_table(own_chain, "bundle", f"{table}.parquet", swap)
    leak = only_leak(own_chain)
    assert leak.check == "its ids are the dataset's"
    assert leak.first_offender[column] in stored[3:5]


@pytest.mark.parametrize("part", ["indices", "weights"])
def test_a_neighbour_that_the_graph_does_not_have(own_chain: Path, rows: pl.DataFrame, part: str) -> None:
    name, planted = "podcast/audiobook", {}

    def put(tensors: dict) -> None:
        indptr, indices = tensors[f"{name}/indptr"], tensors[f"{name}/indices"]
        planted["podcast"] = next(item for item in range(len(indptr) - 1) if indptr[item + 1] > indptr[item])
        place = indptr[planted["podcast"]]
        if part == "indices":
            near = set(indices[place : indptr[planted["podcast"] + 1]])
            indices[place] = next(item for item in range(60) if item not in near)
        else:
            tensors[f"{name}/weights"][place] *= 1.5
        planted["audiobook"] = int(indices[place])

    edit_tensors(own_chain, "bundle", "adjacency.safetensors", put)
    leak = only_leak(own_chain)
    assert leak.check == "neighbours are edges of the serve graph"
    first, ids = leak.first_offender, {(r["item_type"], r["item"]): r["item_id"] for r in rows.iter_rows(named=True)}
    assert first["item"] == ids["podcast", planted["podcast"]]
    assert first["neighbour"] == ids["audiobook", planted["audiobook"]]
    assert first["stored_in"].endswith("adjacency.safetensors")


def test_a_bundle_as_of_a_later_moment(own_chain: Path, meta: DatasetMeta) -> None:
    late = (meta.cutoff + LATE).isoformat()
    edit_json(own_chain, "bundle", "bundle.json", lambda body: body.update(cutoff=late))
    assert late in only_leak(own_chain).first_offender["why"]


def test_a_popularity_figure_that_train_rows_do_not_give(own_chain: Path) -> None:
    def better(body: dict) -> None:
        row = next(r for r in body["results"] if r["model"] == "Popularity" and r["metric"] == "NDCG@10")
        row["value"] += 0.001

    edit_json(own_chain, "evaluation", "results.json", better)
    leak = only_leak(own_chain)
    assert leak.check == "popularity is of train rows, train items masked"
    assert leak.first_offender["metric"] == "NDCG@10"


def test_more_test_items_than_test_rows(own_chain: Path) -> None:
    def count_train_items(body: dict) -> None:
        body["counts"]["podcast"]["test_items"] += 2

    edit_json(own_chain, "evaluation", "results.json", count_train_items)
    leak = only_leak(own_chain)
    assert leak.check == "test rows new to their users are ranked"
    assert leak.first_offender["target_type"] == "podcast"
