"""The stage: its files, its refusals, and figures known from elsewhere on a real data pack."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from evaluation_world import (
    CONFIG,
    Row,
    random_rows,
    vectors_of,
    write_dataset,
    write_graph,
    write_hgnn,
    write_towers,
)

from graphkit import weigh_edges
from graphkit.artefacts import Workspace
from graphkit.config import Config, load_config
from graphkit.config.sections import BlendSection
from graphkit.datasets.store import Dataset
from graphkit.errors import ArtefactError, ConfigError, DataError
from graphkit.evaluation.evaluate import evaluate
from graphkit.evaluation.groups import read_tasks
from graphkit.evaluation.models import serve_embeddings
from graphkit.evaluation.peers.tune import tune_peers
from graphkit.evaluation.segments import SEGMENTS

SIZES = {"book": 15, "song": 20}


def make_world(root: Path, rows: list[Row] | None = None) -> Workspace:
    write_dataset(root, random_rows(0, 24, SIZES) if rows is None else rows, SIZES, 24)
    workspace = Workspace(root)
    write_graph(workspace)
    write_hgnn(workspace)
    tune_peers(workspace, CONFIG)
    return workspace


def overlaid_with(*settings: str) -> Config:
    """The tests' configuration with settings of its evaluation."""
    tables = [f"evaluation.{text}" for text in ("bootstrap=50", *settings)]
    return load_config("default", ["peers.models=[popularity, item-knn]", "peers.trials=1", "run.threads=1", *tables])


def figure(results: pl.DataFrame, model: str, cell: str, metric: str) -> float:
    target, group = cell.split("/")
    found = results.filter(model=model, target_type=target, group=group, metric=metric, segment="all")
    return float(found["value"].item())


def test_every_model_in_every_cell(tmp_path: Path) -> None:
    workspace = make_world(tmp_path)
    write_towers(workspace)
    weigh_edges(workspace, CONFIG)
    batch = evaluate(workspace, CONFIG)
    results = pl.read_parquet(batch.path("results.parquet"))
    models = ["Popularity", "Popularity, 90 days", "Item-kNN", "LLM-KNN", "HGNN"]
    models += ["Edge weights", "2T-HGNN", "2T-HGNN + edges"]
    cells = [("book", g) for g in ("warm", "cold", "all")] + [("song", "warm"), ("song", "all")]
    cells += [("all", g) for g in ("warm", "cold", "all")]  # nobody is cold for songs
    assert results.select("target_type", "group").unique(maintain_order=True).rows() == cells
    assert results["model"].unique(maintain_order=True).to_list() == models
    whole = results.filter(segment="all")
    assert whole.height == len(models) * (len(cells) * 7 + 5)  # Gini is of one catalogue
    assert set(results["segment"]) <= set(SEGMENTS)
    means = results.filter(~pl.col("metric").str.contains("Coverage|Gini"))
    assert means.filter(~pl.col("value").is_between(pl.col("low") - 1e-9, pl.col("high") + 1e-9)).is_empty()
    body = json.loads(batch.path("results.json").read_text(encoding="utf-8"))
    assert body["counts"]["book"] == {"warm": 18, "cold": 6, "no_history": 0, "test_items": 48}
    assert body["results"] == results.to_dicts()
    comparisons = pl.read_parquet(batch.path("comparisons.parquet"))
    row = comparisons.filter(
        model=body["ours"], peer="HGNN", target_type="book", group="warm", metric="MRR@100"
    ).to_dicts()[0]
    assert row["model"] == body["ours"] == "2T-HGNN + edges"
    ours, theirs = (figure(results, model, "book/warm", "MRR@100") for model in ("2T-HGNN + edges", "HGNN"))
    assert ours != theirs
    assert row["value"] == pytest.approx(ours - theirs, abs=1e-8)
    assert row["low"] <= row["value"] <= row["high"]


def test_a_model_that_knows_the_test_items_is_perfect(tmp_path: Path) -> None:
    workspace = make_world(tmp_path)
    tasks = read_tasks(write_dataset(tmp_path / "same", random_rows(0, 24, SIZES), SIZES, 24))
    item_vectors, start, total = {}, 0, sum(SIZES.values())
    users = np.zeros((24, total), np.float32)
    for name, count in SIZES.items():
        item_vectors[name] = np.eye(total, dtype=np.float32)[start : start + count]
        for user in range(24):
            users[user, start + tasks[name].positives.of(user)] = 1
        start += count
    write_towers(workspace, users, item_vectors)
    results = pl.read_parquet(evaluate(workspace, CONFIG).path("results.parquet"))
    for cell in ("book/warm", "book/cold", "song/warm", "all/all"):
        assert [figure(results, "2T-HGNN", cell, m) for m in ("HR@10", "Recall@20", "NDCG@10", "MRR@100")] == [1] * 4


def test_the_blend_is_the_towers_with_all_of_the_weight_and_the_edges_with_none(tmp_path: Path) -> None:
    figures: dict[str, list[float]] = {}
    for weight in ("1e6", "0.0"):
        workspace = make_world(tmp_path / weight)
        write_towers(workspace)
        weigh_edges(workspace, CONFIG)
        blend = BlendSection(towers_weight={"warm": float(weight), "cold": float(weight)})
        batch = evaluate(workspace, CONFIG.model_copy(update={"blend": blend}))
        results = pl.read_parquet(batch.path("results.parquet"))
        for model in ("2T-HGNN + edges", "2T-HGNN", "Edge weights"):
            figures[f"{model}, {weight}"] = [
                figure(results, model, cell, "NDCG@10") for cell in ("book/warm", "book/cold", "song/warm")
            ]
    assert figures["2T-HGNN + edges, 1e6"] == pytest.approx(figures["2T-HGNN, 1e6"], abs=1e-6)
    assert figures["2T-HGNN + edges, 0.0"] == pytest.approx(figures["Edge weights, 0.0"], abs=1e-6)
    assert figures["2T-HGNN, 0.0"] != figures["Edge weights, 0.0"]


def test_pooled_figures_weigh_every_list_alike(tmp_path: Path) -> None:
    workspace = make_world(tmp_path)
    write_towers(workspace)
    results = pl.read_parquet(evaluate(workspace, CONFIG).path("results.parquet"))
    parts = {cell: figure(results, "HGNN", cell, "NDCG@10") for cell in ("book/warm", "song/warm", "all/warm")}
    assert parts["all/warm"] == pytest.approx((18 * parts["book/warm"] + 24 * parts["song/warm"]) / 42)
    users = results.filter(target_type="all", group="warm", segment="all")["num_users"].unique().to_list()
    assert users == [24]


def test_the_same_inputs_give_the_same_files(tmp_path: Path) -> None:
    hashes = []
    for name in ("one", "two"):
        workspace = make_world(tmp_path / name)
        write_towers(workspace)
        hashes.append(evaluate(workspace, CONFIG).content_hash)
    assert hashes[0] == hashes[1]


def test_items_are_embedded_as_of_the_cut_off(tmp_path: Path) -> None:
    make_world(tmp_path)
    embeddings = serve_embeddings(Workspace(tmp_path).current("hgnn"), Dataset.current(Workspace(tmp_path)))
    expected = vectors_of(SIZES, seed=2)
    assert list(embeddings) == list(SIZES)
    for name, matrix in expected.items():
        np.testing.assert_array_equal(embeddings[name], matrix)


def test_a_second_call_returns_the_finished_batch(tmp_path: Path) -> None:
    workspace = make_world(tmp_path)
    write_towers(workspace)
    assert evaluate(workspace, CONFIG).manifest.created_at == evaluate(workspace, CONFIG).manifest.created_at


def test_towers_of_another_dataset_are_refused(tmp_path: Path) -> None:
    workspace = make_world(tmp_path)
    towers = write_towers(workspace)
    old = towers.manifest.upstream["dataset"]
    new = write_dataset(tmp_path, random_rows(1, 24, SIZES), SIZES, 24, weak=()).batch
    with pytest.raises(ArtefactError) as refused:
        evaluate(workspace, CONFIG)
    assert old in str(refused.value)
    assert new.id in str(refused.value)
    assert "run `graphkit" in str(refused.value)


def test_without_towers_the_table_is_of_what_there_is_and_says_what_to_run(tmp_path: Path) -> None:
    body = json.loads(evaluate(make_world(tmp_path), CONFIG).path("results.json").read_text(encoding="utf-8"))
    assert list(body["models"]) == ["Popularity", "Popularity, 90 days", "Item-kNN", "LLM-KNN", "HGNN"]
    assert "train-towers" in body["left_out"]["2T-HGNN"]
    assert "weigh-edges" in body["left_out"]["Edge weights"]
    assert "graphkit ablate 2t" in body["left_out"]["2T"]
    assert body["ours"] == "HGNN"


def test_edges_alone_are_a_row_and_without_them_ours_is_the_towers(tmp_path: Path) -> None:
    workspace = make_world(tmp_path)
    weigh_edges(workspace, CONFIG)
    body = json.loads(evaluate(workspace, CONFIG).path("results.json").read_text(encoding="utf-8"))
    assert list(body["models"])[-2:] == ["HGNN", "Edge weights"]
    bare = make_world(tmp_path / "bare")
    write_towers(bare)
    body = json.loads(evaluate(bare, CONFIG).path("results.json").read_text(encoding="utf-8"))
    assert (list(body["models"])[-1], body["ours"]) == ("2T-HGNN", "2T-HGNN")
    assert body["left_out"]["2T-HGNN + edges"] == "there is no edges yet: run `graphkit weigh-edges`"


def test_without_tuned_peers_there_is_no_table(tmp_path: Path) -> None:
    write_dataset(tmp_path, random_rows(0, 24, SIZES), SIZES, 24)
    with pytest.raises(ArtefactError, match="tune-peers"):
        evaluate(Workspace(tmp_path), CONFIG)


def test_models_types_groups_and_metrics_are_chosen(tmp_path: Path) -> None:
    workspace = make_world(tmp_path)
    write_towers(workspace)
    chosen = ["models=[HGNN, Item-kNN]", "types=[song]", "groups=[warm]", 'extra_metrics=["NDCG@5"]']
    config = overlaid_with(*chosen)
    results = pl.read_parquet(evaluate(workspace, config).path("results.parquet"))
    assert results["model"].unique(maintain_order=True).to_list() == ["Item-kNN", "HGNN"]
    assert set(results["target_type"]) == {"song", "all"}
    assert set(results["group"]) == {"warm"}
    assert {"NDCG@5", "NDCG@10"} <= set(results["metric"])


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("models=[HGNM]", "no model 'HGNM'"),
        ("models=[2T]", "graphkit ablate 2t"),
        ("models=[2T-HGNN + edges]", "there is no towers yet: run `graphkit train-towers`; there is no edges yet"),
        ("types=[film]", "no target type 'film'"),
        ("extra_metrics=[MAP@10]", "no metric 'MAP@10'"),
    ],
)
def test_what_is_not_there_cannot_be_chosen(tmp_path: Path, setting: str, said: str) -> None:
    workspace = make_world(tmp_path)
    with pytest.raises(ConfigError) as refused:
        evaluate(workspace, overlaid_with(setting))
    assert said in str(refused.value)


def test_lists_to_read_name_history_list_and_what_was_played(tmp_path: Path) -> None:
    workspace = make_world(tmp_path)
    write_towers(workspace)
    batch = evaluate(workspace, CONFIG)
    examples = json.loads(batch.path("examples.json").read_text(encoding="utf-8"))
    assert {(e["target_type"], e["group"]) for e in examples} == {
        ("book", "warm"),
        ("book", "cold"),
        ("song", "warm"),
    }
    rows = pl.DataFrame([row for row in random_rows(0, 24, SIZES) if row.split == "train"])
    for example in examples:
        assert example["kind"] == ("success" if any(r["hit"] for r in example["recommended"]) else "failure")
        assert len(example["recommended"]) == 10
        played = {row["title"]: row["rank"] for row in example["played"]}
        listed = {row["title"]: place for place, row in enumerate(example["recommended"], 1) if row["hit"]}
        assert all(played[title] == place for title, place in listed.items())
        mine = rows.filter(user=int(example["user_id"]), item_type="book").sort("days_before")
        assert example["history"].get("book", []) == [
            f"book {item}" for item in mine["item"].unique(maintain_order=True)
        ]


def test_each_users_figures_are_kept(tmp_path: Path) -> None:
    workspace = make_world(tmp_path)
    write_towers(workspace)
    batch = evaluate(workspace, CONFIG)
    results = pl.read_parquet(batch.path("results.parquet"))
    users = pl.read_parquet(batch.path("users") / "*.parquet")
    assert set(users["model"]) == set(results["model"])
    mine = users.filter(model="HGNN", target_type="book", segment="all", warm=True)
    assert mine["MRR@100"].mean() == pytest.approx(figure(results, "HGNN", "book/warm", "MRR@100"), abs=1e-6)
    counts = json.loads(batch.path("results.json").read_text(encoding="utf-8"))["counts"]["book"]
    assert (
        users.filter(model="HGNN", target_type="book", segment="all")["num_positives"].sum() == counts["test_items"]
    )


def test_nothing_to_predict_is_refused(tmp_path: Path) -> None:
    workspace = make_world(tmp_path, [row for row in random_rows(0, 24, SIZES) if row.split == "train"])
    write_towers(workspace)
    with pytest.raises(DataError, match="no user has anything to predict"):
        evaluate(workspace, CONFIG)
