"""The commands on a finished chain, as a user types them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from click.testing import Result
from conftest import TINY_RUN, graphkit_process

from graphkit.artefacts import Workspace
from graphkit.stages import STAGES

Cli = Callable[..., Result]


def test_every_stage_has_a_manifest_with_its_cost_and_origin(finished_chain: Path) -> None:
    workspace = Workspace(finished_chain)
    for stage, declared in STAGES.items():
        manifest = workspace.current(stage).manifest
        assert manifest.wall_seconds > 0
        assert manifest.peak_memory_bytes > 10 * 2**20
        assert set(declared.upstream) - set(declared.optional) <= set(manifest.upstream)
        assert manifest.settings["run"]["seed"] == 0
        assert all((workspace.stage_dir(s) / batch_id).is_dir() for s, batch_id in manifest.upstream.items())


def test_a_second_run_makes_nothing(finished_chain: Path) -> None:
    done = graphkit_process(*TINY_RUN, "-w", finished_chain, "--json")
    assert done.returncode == 0, done.stderr
    printed = json.loads(done.stdout)
    assert {row["state"] for row in printed["stages"]} == {"up to date"}
    assert [row["stage"] for row in printed["stages"]] == list(STAGES)
    assert Path(printed["report"]).is_file()


def test_a_changed_setting_redoes_its_stage_and_what_follows_only(finished_chain: Path, graphkit: Cli) -> None:
    done = graphkit(*TINY_RUN, "-w", finished_chain, "--dry-run", "--set", "towers.learning_rate=0.002", "--json")
    assert done.exit_code == 0, done.output
    state = {row["stage"]: row["state"] for row in json.loads(done.output)}
    assert [stage for stage in STAGES if state[stage] == "up to date"] == ["dataset", "graph", "hgnn"]
    assert {state["towers"], state["report"]} == {"to do"}


def test_sample_prints_each_statistic_beside_its_target(finished_chain: Path, graphkit: Cli) -> None:
    words = ("sample", "--preset", "demo", "--size", "tiny", "-w", finished_chain)
    printed = json.loads(graphkit(*words, "--json").output)
    targets = {row["statistic"]: row["target"] for row in printed["statistics"]}
    assert targets["hours made by the busiest 25 % of users"] == "about 0.75"
    assert targets["follow before a stream (audiobook)"] == "about 2.18"
    assert {row["origin"] for row in printed["statistics"]} == {"planted"}
    overall = printed["distinct items per user"][0]
    assert 0 < overall["10%"] <= overall["50%"] <= overall["99%"]
    assert "planted" in graphkit(*words).output


def test_evaluate_prints_a_row_per_target_group_and_model(finished_chain: Path, graphkit: Cli) -> None:
    sets = [word for word in TINY_RUN if word not in ("run", "--sample")]
    done = graphkit("evaluate", *sets, "-w", finished_chain, "--json")
    assert done.exit_code == 0, done.output
    rows = json.loads(done.output)["results, with 95 % intervals over users"]
    assert {(row["target"], row["users"]) for row in rows} >= {("audiobook", "warm"), ("podcast", "warm")}
    assert {"2T-HGNN + edges", "2T-HGNN", "Edge weights", "Popularity", "Item-kNN"} <= {row["model"] for row in rows}
    assert all("-" in row["HR@10"] for row in rows)


def test_dry_run_of_a_new_card_plans_every_stage_anew(finished_chain: Path, graphkit: Cli) -> None:
    done = graphkit("run", "--card", "eswc2015", "--source", ".", "-w", finished_chain, "--dry-run", "--json")
    assert done.exit_code == 0, done.output
    assert {row["stage"]: row["state"] for row in json.loads(done.output)} == dict.fromkeys(STAGES, "to do")


def test_recommend_never_shows_what_the_user_knows(finished_chain: Path, graphkit: Cli) -> None:
    dataset = Workspace(finished_chain).current("dataset").folder
    rows = pl.read_parquet(dataset / "interactions" / "*.parquet").filter(
        (pl.col("item_type") == "audiobook") & (pl.col("split") == "train") & (pl.col("signal") == "stream")
    )
    user = rows.group_by("user").len().sort("len", "user")["user"][-1]
    users, items = pl.read_parquet(dataset / "users.parquet"), pl.read_parquet(dataset / "items.parquet")
    known = rows.filter(pl.col("user") == user).join(items, on=["item_type", "item"])["item_id"].to_list()
    user_id = users.filter(pl.col("user") == user)["user_id"][0]
    done = graphkit("recommend", "--user", user_id, "--type", "audiobook", "-k", 10, "-w", finished_chain, "--json")
    assert done.exit_code == 0, done.output
    printed = json.loads(done.output)
    assert printed["source"] == "towers and edges"
    assert len(printed["rows"]) == 10
    assert not {row["item_id"] for row in printed["rows"]} & set(known)


def test_similar_crosses_types(finished_chain: Path, graphkit: Cli) -> None:
    items = pl.read_parquet(Workspace(finished_chain).current("dataset").path("items.parquet"))
    podcast = items.filter(pl.col("item_type") == "podcast")["item_id"][0]
    audiobooks = set(items.filter(pl.col("item_type") == "audiobook")["item_id"])
    done = graphkit("similar", "--item", podcast, "--within", "audiobook", "-k", 5, "-w", finished_chain, "--json")
    assert done.exit_code == 0, done.output
    assert {row["item_id"] for row in json.loads(done.output)["rows"]} <= audiobooks


def test_serving_imports_neither_torch_nor_tensorflow(finished_chain: Path) -> None:
    user_id = pl.read_parquet(Workspace(finished_chain).current("dataset").path("users.parquet"))["user_id"][0]
    words = ["recommend", "--user", user_id, "--type", "audiobook", "-w", str(finished_chain)]
    code = f"""
import sys, cli
try:
    cli.main({words!r})
except SystemExit as end:
    print("EXIT", end.code, sorted({{"torch", "tensorflow", "keras", "dgl"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.splitlines()[-1] == "EXIT 0 []"


def test_a_bundle_serves_from_another_folder(finished_chain: Path, tmp_path: Path, graphkit: Cli) -> None:
    import shutil

    bundle = shutil.copytree(Workspace(finished_chain).current("bundle").folder, tmp_path / "elsewhere")
    user_id = pl.read_parquet(Workspace(finished_chain).current("dataset").path("users.parquet"))["user_id"][3]
    words = ("recommend", "--user", user_id, "--type", "podcast", "--json")
    there, here = graphkit(*words, "-w", finished_chain), graphkit(*words, "--bundle", bundle)
    assert there.exit_code == here.exit_code == 0
    assert there.output == here.output


def test_evaluation_compares_with_popularity_and_item_knn(finished_chain: Path) -> None:
    results = pl.read_parquet(Workspace(finished_chain).current("evaluation").path("results.parquet"))
    models = set(results["model"].unique())
    assert {"2T-HGNN", "2T-HGNN + edges"} <= models
    assert len(models) >= 4
    assert {"warm", "cold"} <= set(results["group"].unique())
    assert {"HR@10", "MRR@100", "Coverage@100"} <= set(results["metric"].unique())
    rows = results.filter(pl.col("low").is_not_null())
    assert (rows["low"] <= rows["value"]).all()
    assert (rows["value"] <= rows["high"]).all()


def test_the_report_is_one_page_with_everything_on_it(finished_chain: Path) -> None:
    page = Workspace(finished_chain).current("report").path("report.html").read_text(encoding="utf-8")
    for word in ("planted", "audiobook", "2T-HGNN", "Peak", "<svg"):
        assert word in page or word.lower() in page.lower()
    assert 'src="http' not in page
    assert 'href="http' not in page


def test_batches_names_what_is_stale(own_chain: Path, graphkit: Cli) -> None:
    before = json.loads(graphkit("batches", "-w", own_chain, "--json").output)
    assert {row["stale"] for row in before} == {"no"}
    made = graphkit("sample", "--preset", "demo", "--size", "tiny", "--seed", 5, "-w", own_chain)
    assert made.exit_code == 0, made.output
    after = json.loads(graphkit("batches", "-w", own_chain, "--json").output)
    assert "dataset is" in next(row["stale"] for row in after if row["stage"] == "graph")


def test_doctor_names_the_back_end_and_the_text_model(finished_chain: Path) -> None:
    done = graphkit_process("doctor", "-w", finished_chain, "--json")
    assert done.returncode == 0, done.stderr
    found = {row["name"]: row for row in json.loads(done.stdout)}
    assert found["neighbour back end"]["found"].split(":")[0] in {"dgl", "torch"}
    assert {"python", "text model", "gpu", "workspace"} <= set(found)


def test_doctor_says_what_to_do_without_a_gpu_or_model(tmp_path: Path) -> None:
    words = ("--set", "hgnn.device=cuda", "--set", "text.model=no/such-model", "-w", tmp_path, "--json")
    if os.environ.get("CUDA_VISIBLE_DEVICES") is None:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    done = graphkit_process("doctor", *words)
    problems = {row["name"]: row["fix"] for row in json.loads(done.stdout) if row["status"] == "problem"}
    assert done.returncode == 1
    assert "hgnn.device=cpu" in problems["gpu"]
    assert "text.model" in problems["text model"]


@pytest.mark.slow
def test_kill_at_random_points_and_resume_gives_the_same_batches() -> None:
    sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
    try:
        from kill_resume import compare
    finally:
        sys.path.pop(0)
    found = compare(kills=1, seed=1)
    assert {stage: row["kills"] for stage, row in found.items()} == dict.fromkeys(STAGES, 1)
    # The report prints the seconds each stage took, so its bytes differ from run to run.
    expected = dict.fromkeys(STAGES, True) | {"report": "not compared"}
    assert {stage: row["same"] for stage, row in found.items()} == expected
