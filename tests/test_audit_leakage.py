"""The leakage audit on a finished chain: clean as it is, and each kind of planted leak found and named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from click.testing import Result
from planted import change_example, edit_json, edit_table, edit_tensors, folder, leaks, named_rows, only_leak
from safetensors.numpy import load_file

from graphkit import audit_leakage
from graphkit.artefacts import Workspace
from graphkit.datasets.store import Dataset, DatasetMeta
from graphkit.errors import ArtefactError

Cli = Callable[..., Result]
PART = "interactions/part-00000.parquet"
EDGES = "edges/fit/audiobook__co-listening__podcast.parquet"
IN_EDGES = "csc/serve/podcast__co-listening__podcast.safetensors"
LATE = timedelta(days=3)


@pytest.fixture
def meta(finished_chain: Path) -> DatasetMeta:
    return Dataset.current(Workspace(finished_chain)).meta


@pytest.fixture
def rows(finished_chain: Path) -> pl.DataFrame:
    return named_rows(finished_chain)


def test_a_finished_chain_is_clean(finished_chain: Path, graphkit: Cli) -> None:
    before = sorted((path, path.stat().st_mtime_ns) for path in finished_chain.rglob("*"))
    done = graphkit("audit-leakage", "-w", finished_chain, "--json")
    assert done.exit_code == 0, done.output
    printed = json.loads(done.output)
    assert printed["leaks"] == 0
    assert {row["result"] for row in printed["findings"]} == {"clean", "not applicable"}
    checked = {row["check"]: row["checked"] for row in printed["findings"] if row["result"] == "clean"}
    assert min(checked.values()) > 0
    assert {row["stage"] for row in printed["findings"] if row["result"] == "clean"} == {
        "dataset", "graph", "hgnn", "towers", "edges", "bundle", "evaluation"
    }  # fmt: skip
    assert sorted((path, path.stat().st_mtime_ns) for path in finished_chain.rglob("*")) == before


def test_what_is_counted_is_everything(finished_chain: Path, rows: pl.DataFrame) -> None:
    checked = {finding.check: finding.checked for finding in audit_leakage(Workspace(finished_chain))}
    graph = folder(finished_chain, "graph")
    table = pl.read_parquet(graph / "edges/fit/*.parquet")
    in_edges = table["at_src"].sum() + table["at_dst"].sum()
    assert checked["train rows come before the cut-off"] == rows.filter(pl.col("split") == "train").height
    # Each edge once in its table and once at each end that keeps it in what is trained on.
    assert checked["fit: co-listening edges rest on rows before its end"] == table.height + in_edges
    weights = load_file(folder(finished_chain, "edges") / "edges.safetensors")
    stored = sum(len(tensor) for name, tensor in weights.items() if name.endswith("/weights"))
    assert checked["weights join items shared in train rows before the cut-off"] == stored


def test_stages_that_are_not_made_are_said_to_be(own_chain: Path, graphkit: Cli) -> None:
    for stage in ("towers", "bundle", "evaluation", "report"):
        shutil.rmtree(own_chain / stage)
    done = graphkit("audit-leakage", "-w", own_chain)
    assert done.exit_code == 0, done.output
    found = {finding.stage: finding.result for finding in audit_leakage(Workspace(own_chain))}
    assert [found[stage] for stage in ("hgnn", "towers", "bundle")] == ["clean", "not made yet", "not made yet"]
    assert "graphkit evaluate" in done.output


def test_towers_without_their_examples_are_not_called_clean(own_chain: Path) -> None:
    edit_json(own_chain, "towers", "manifest.json", lambda body: body["files"].pop("examples.parquet"))
    found = [finding for finding in audit_leakage(Workspace(own_chain)) if finding.stage == "towers"]
    assert {finding.result for finding in found} == {"not made yet"}


def test_a_row_after_the_cutoff_in_train(own_chain: Path, rows: pl.DataFrame, meta: DatasetMeta) -> None:
    test = rows.with_row_index().filter(pl.col("split") == "test").row(0, named=True)
    marked = pl.when(pl.int_range(pl.len()) == test["index"]).then(pl.lit("train")).otherwise("split")
    edit_table(own_chain, "dataset", PART, lambda frame: frame.with_columns(marked.alias("split")))
    first = leaks(own_chain)[0]
    assert first.check == "train rows come before the cut-off"
    assert first.first_offender | {"file": "", "why": ""} == {
        "user_id": test["user_id"],
        "item_type": test["item_type"],
        "item_id": test["item_id"],
        "signal": test["signal"],
        "timestamp": test["timestamp"].isoformat(),
        "split": "train",
        "file": "",
        "why": "",
    }
    assert first.first_offender["file"].endswith(PART)
    assert meta.cutoff.isoformat() in first.first_offender["why"]


def test_a_row_before_the_cutoff_in_test(own_chain: Path, rows: pl.DataFrame) -> None:
    test = rows.with_row_index().filter(pl.col("split") == "test").row(-1, named=True)
    time = pl.when(pl.int_range(pl.len()) == test["index"]).then(pl.col("timestamp") - timedelta(days=60))
    moved = time.otherwise("timestamp").alias("timestamp")
    edit_table(own_chain, "dataset", PART, lambda frame: frame.with_columns(moved))
    first = leaks(own_chain)[0]
    assert first.check == "test rows come at or after the cut-off"
    assert first.first_offender["user_id"] == test["user_id"]
    assert first.first_offender["item_id"] == test["item_id"]


def test_a_label_period_after_the_cutoff(own_chain: Path, meta: DatasetMeta) -> None:
    late = (meta.cutoff + LATE).isoformat()
    edit_json(own_chain, "dataset", "dataset.json", lambda body: body.update(label_start=late))
    found = {finding.check: finding.first_offender for finding in leaks(own_chain)}
    assert late in found["the label period lies in train"]["why"]


def test_a_statistic_measured_on_test_rows_too(own_chain: Path) -> None:
    def add_test_rows(body: dict) -> None:
        stated = next(row for row in body["statistics"] if row["name"] == "distinct items per user")
        stated["quantiles"]["0.9"] += 1

    edit_json(own_chain, "dataset", "dataset.json", add_test_rows)
    first = only_leak(own_chain).first_offender
    assert first["statistic"] == "distinct items per user"
    assert "quantile 0.9" in first["why"]


def shared(rows: pl.DataFrame, a: int, b: int, keep: pl.Expr) -> set[int]:
    """Users of audiobook ``a`` and podcast ``b``."""
    rows = rows.filter(keep)
    return set(users_of(rows, "audiobook", a)) & set(users_of(rows, "podcast", b))


def users_of(rows: pl.DataFrame, item_type: str, item: int) -> list[int]:
    return rows.filter((pl.col("item_type") == item_type) & (pl.col("item") == item))["user"].to_list()


def test_an_edge_that_counts_a_later_row(own_chain: Path, rows: pl.DataFrame, meta: DatasetMeta) -> None:
    """The first edge that one user more has when later rows count."""
    strong = rows.filter(pl.col("signal") == "stream")
    inside = (pl.col("split") == "train") & (pl.col("timestamp") < meta.label_start)
    inside = inside & (pl.col("timestamp") >= meta.label_start - timedelta(days=90))
    table = pl.read_parquet(folder(own_chain, "graph") / EDGES)
    for edge in table.iter_rows(named=True):
        now, ever = (shared(strong, edge["src"], edge["dst"], keep) for keep in (inside, pl.lit(True)))
        if len(ever) > len(now):
            break
    place = table.select(pl.arg_where((pl.col("src") == edge["src"]) & (pl.col("dst") == edge["dst"]))).item()
    support = pl.when(pl.int_range(pl.len()) == place).then(len(now) + 1).otherwise("support").cast(pl.UInt32)
    edit_table(own_chain, "graph", EDGES, lambda frame: frame.with_columns(support.alias("support")))
    leak = only_leak(own_chain)
    assert leak.check == "fit: co-listening edges rest on rows before its end"
    assert leak.checked >= place + 1
    ends = [
        strong.filter((pl.col("item_type") == item_type) & (pl.col("item") == edge[end]))
        for item_type, end in (("audiobook", "src"), ("podcast", "dst"))
    ]
    lacking = [
        row
        for end in ends
        for row in end.filter(~inside & pl.col("user").is_in(sorted(ever - now))).iter_rows(named=True)
        if row["user"] not in end.filter(inside)["user"]
    ]
    expected = min((row for row in lacking if row["timestamp"] >= meta.label_start), key=lambda row: row["timestamp"])
    first = leak.first_offender
    assert (first["src"], first["dst"]) == tuple(end["item_id"][0] for end in ends)
    assert (first["user_id"], first["item_id"]) == (expected["user_id"], expected["item_id"])
    assert first["timestamp"] == expected["timestamp"].isoformat()
    assert first["edge_file"].endswith(EDGES)
    assert f"{len(now)} users" in first["why"]


def test_an_edge_between_items_that_nobody_shares(own_chain: Path, rows: pl.DataFrame) -> None:
    """In what the network is trained on, not in the table that people read."""
    known = rows.filter((pl.col("split") == "train") & (pl.col("item_type") == "podcast"))
    users = [set(known.filter(pl.col("item") == item)["user"]) for item in range(120)]
    dst, src = next((a, b) for a in range(120) for b in range(120) if a != b and not users[a] & users[b])

    def point_elsewhere(tensors: dict) -> None:
        start = tensors["indptr"][dst]
        assert tensors["indptr"][dst + 1] > start
        tensors["indices"][start] = src

    edit_tensors(own_chain, "graph", IN_EDGES, point_elsewhere)
    leak, *_ = leaks(own_chain)  # the bundle's neighbours may no longer be those of the graph
    assert leak.check == "serve: co-listening edges rest on rows before its end"
    ids = {row["item"]: row["item_id"] for row in rows.filter(pl.col("item_type") == "podcast").iter_rows(named=True)}
    assert (leak.first_offender["src"], leak.first_offender["dst"]) == (ids[src], ids[dst])
    assert leak.first_offender["edge_file"].endswith(IN_EDGES)


@pytest.mark.parametrize("stage", ["graph", "hgnn"])
def test_a_window_that_ends_late(own_chain: Path, meta: DatasetMeta, stage: str) -> None:
    late = (meta.label_start + LATE).isoformat()
    edit_json(own_chain, stage, "manifest.json", lambda body: body["data_window"].update(fit_end=late))
    found = {finding.stage: finding.first_offender["why"] for finding in leaks(own_chain)}
    assert stage in found
    assert late in found[stage]
    assert meta.label_start.isoformat() in found[stage]


def test_a_leak_is_printed_in_full_and_exits_with_1(own_chain: Path, graphkit: Cli) -> None:
    change_example(own_chain, features_end=datetime.fromisoformat("2030-01-01T00:00:00+00:00"))
    done = graphkit("audit-leakage", "-w", own_chain)
    assert done.exit_code == 1
    assert "LEAK" in done.output
    assert "2030-01-01T00:00:00+00:00" in done.output
    printed = json.loads(graphkit("audit-leakage", "-w", own_chain, "--json").output)
    assert printed["leaks"] == 1


def test_a_batch_made_from_another_one_is_refused(own_chain: Path, graphkit: Cli) -> None:
    edit_json(own_chain, "hgnn", "manifest.json", lambda body: body["upstream"].update(graph="feedfeedfeed"))
    done = graphkit("audit-leakage", "-w", own_chain)
    assert done.exit_code == 2
    assert all(word in done.output for word in ("feedfeedfeed", folder(own_chain, "graph").name, "train-hgnn"))
    with pytest.raises(ArtefactError):
        audit_leakage(Workspace(own_chain))


def test_a_damaged_batch_and_no_workspace_are_wrong_input(own_chain: Path, tmp_path: Path, graphkit: Cli) -> None:
    with (folder(own_chain, "bundle") / "seen.safetensors").open("ab") as file:
        file.write(b"x")
    damaged = graphkit("audit-leakage", "-w", own_chain)
    assert (damaged.exit_code, "seen.safetensors" in damaged.output) == (2, True)
    nothing = graphkit("audit-leakage", "-w", tmp_path / "nowhere")
    assert (nothing.exit_code, "no dataset yet" in nothing.output) == (2, True)
    assert not (tmp_path / "nowhere").exists()
