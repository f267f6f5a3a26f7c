"""Wrong input through the command line: exit code 2, one readable message, no trace, nothing good lost."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from click.testing import Result

from graphkit.artefacts import Workspace

Cli = Callable[..., Result]
Edit = Callable[[Path], None]

CARD = """
name = "radio"
types = ["audiobook", "podcast"]
targets = ["audiobook"]
strong = ["stream"]
weak = ["follow"]

[interactions]
files = "plays.csv"
timestamp_unit = "s"
columns = { user_id = "listener", timestamp = "at" }

[items]
files = "catalogue.csv"
"""
START = 1_700_000_000
DAY = 86_400


def write_logs(folder: Path) -> Path:
    """A small good source: 12 listeners, 8 items, 60 days, and its card."""
    folder.mkdir()
    items = [
        {"item_id": f"i{n}", "item_type": "audiobook" if n < 4 else "podcast", "title": f"Title {n}"}
        for n in range(8)
    ]
    plays = [
        {"listener": f"u{u}", "item_id": f"i{n}", "item_type": items[n]["item_type"], "signal": "stream",
         "at": START + (7 * u + 13 * n) % 60 * DAY, "seconds": 60.0 + n}
        for u in range(12) for n in range(8) if (u + n) % 3
    ]  # fmt: skip
    pl.DataFrame(items).write_csv(folder / "catalogue.csv")
    pl.DataFrame(plays).write_csv(folder / "plays.csv")
    (folder / "card.toml").write_text(CARD)
    return folder


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    return write_logs(tmp_path / "logs")


def plays(**columns: pl.Expr) -> Edit:
    """An edit of the plays table: replace or add columns."""

    def edit(folder: Path) -> None:
        path = folder / "plays.csv"
        pl.read_csv(path).with_columns(**columns).write_csv(path)

    return edit


def on_row(row: int, value: object, otherwise: str) -> pl.Expr:
    """``value`` in data row ``row`` (from 1), the column ``otherwise`` elsewhere."""
    return pl.when(pl.int_range(pl.len()) == row - 1).then(pl.lit(value)).otherwise(pl.col(otherwise))


def text(name: str, content: bytes) -> Edit:
    return lambda folder: (folder / name).write_bytes(content) and None


def drop_listener(folder: Path) -> None:
    pl.read_csv(folder / "plays.csv").drop("listener").write_csv(folder / "plays.csv")


def duplicate_item(folder: Path) -> None:
    path = folder / "catalogue.csv"
    path.write_text(path.read_text() + "i1,audiobook,Again\n")


def not_utf8(folder: Path) -> None:
    path = folder / "catalogue.csv"
    path.write_bytes(path.read_bytes().replace(b"Title 3", b"T\xeftle 3"))


def one_user(folder: Path) -> None:
    path = folder / "plays.csv"
    pl.read_csv(path).filter(pl.col("listener") == "u1").write_csv(path)


def only_podcasts(folder: Path) -> None:
    path = folder / "plays.csv"
    pl.read_csv(path).filter(pl.col("item_type") == "podcast").write_csv(path)


def card_typo(folder: Path) -> None:
    (folder / "card.toml").write_text(CARD.replace("timestamp_unit", "timestamp_units"))


REFUSED: dict[str, tuple[Edit, tuple[str, ...]]] = {
    "missing column": (drop_listener, ("plays.csv", "listener", "at")),
    "wrong type": (plays(seconds=pl.lit("long")), ("plays.csv", "seconds", "long")),
    "empty file": (text("plays.csv", b""), ("plays.csv",)),
    "header only": (text("plays.csv", b"listener,item_id,item_type,signal,at,seconds\n"), ("plays.csv",)),
    "not what its ending says": (text("plays.csv", b"PAR1\x00\x15\x04\x15\x10"), ("plays.csv",)),
    "one user only": (one_user, ("user",)),
    "no target interactions": (only_podcasts, ("audiobook",)),
    "card typo": (card_typo, ("card.toml", "did you mean 'timestamp_unit'")),
    "all rows in the future": (plays(at=pl.col("at") + 10**9), ("plays.csv", "timestamp")),
}
REJECTED_ROW: dict[str, tuple[Edit, tuple[str, ...]]] = {
    "unknown item type": (plays(item_type=on_row(5, "audiobok", "item_type")), ("plays.csv", "5", "audiobok")),
    "unknown item": (plays(item_id=on_row(6, "nowhere", "item_id")), ("plays.csv", "6", "item_id", "nowhere")),
    "milliseconds among seconds": (plays(at=on_row(7, START * 1000, "at")), ("plays.csv", "7", "timestamp")),
    "a time in the future": (plays(at=on_row(7, 4_000_000_000, "at")), ("plays.csv", "7", "timestamp")),
    "NaN weight": (plays(seconds=on_row(3, float("nan"), "seconds")), ("plays.csv", "3", "seconds")),
    "duplicate item id": (duplicate_item, ("catalogue.csv", "9", "item_id", "i1")),
    "text that is not UTF-8": (not_utf8, ("catalogue.csv", "4")),
}  # fmt: skip


def import_logs(graphkit: Cli, logs: Path, *words: object) -> Result:
    return graphkit("import", logs / "card.toml", logs, "-w", logs.parent / "ws", *words)


def assert_refused(result: Result, words: tuple[str, ...]) -> None:
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert result.output.startswith("error: ")
    missing = [word for word in words if word not in result.output]
    assert missing == [], result.output


def test_the_good_source_is_imported(graphkit: Cli, logs: Path) -> None:
    result = import_logs(graphkit, logs, "--strict")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_a_source_that_cannot_be_used_is_refused_and_the_last_dataset_stays(
    case: str, graphkit: Cli, logs: Path
) -> None:
    assert import_logs(graphkit, logs).exit_code == 0
    good = Workspace(logs.parent / "ws").current("dataset")
    edit, words = REFUSED[case]
    edit(logs)
    assert_refused(import_logs(graphkit, logs), words)
    kept = Workspace(logs.parent / "ws").current("dataset")
    assert (kept.id, kept.content_hash) == (good.id, good.content_hash)


@pytest.mark.parametrize("case", sorted(REJECTED_ROW))
def test_a_bad_row_is_counted_and_kept_and_strict_refuses_it(case: str, graphkit: Cli, logs: Path) -> None:
    edit, words = REJECTED_ROW[case]
    edit(logs)
    assert_refused(import_logs(graphkit, logs, "--strict"), words)
    result = import_logs(graphkit, logs)
    assert result.exit_code == 0, result.output
    assert "rejected" in result.output
    rejected = pl.read_parquet(Workspace(logs.parent / "ws").current("dataset").path("rejected.parquet"))
    assert rejected.height >= 1
    assert str(rejected["row"][0]) in words


def test_debug_shows_the_trace(graphkit: Cli, logs: Path) -> None:
    drop_listener(logs)
    assert import_logs(graphkit, logs, "--debug").exception is not None


def test_graph_without_edges_or_of_an_unknown_relation_is_refused(graphkit: Cli, logs: Path) -> None:
    root = logs.parent / "ws"
    assert import_logs(graphkit, logs).exit_code == 0
    too_strict = graphkit("build-graph", "-w", root, "--set", "graph.min_support=1000")
    assert_refused(too_strict, ("min_support",))
    days = graphkit("build-graph", "-w", root, "--set", "graph.window_days=1")
    assert_refused(days, ("window_days",))
    unknown = graphkit("build-graph", "-w", root, "--set", "graph.exclude_relations=[podcast-podcats]")
    assert_refused(unknown, ("podcast-podcats", "audiobook-podcast"))
    assert not Workspace(root).has("graph")


def test_a_stage_without_its_input_names_the_command_to_run(graphkit: Cli, tmp_path: Path) -> None:
    assert_refused(graphkit("build-graph", "-w", tmp_path), ("graphkit sample", "graphkit import"))
    assert_refused(graphkit("run", "-w", tmp_path), ("--sample", "--card"))
    assert_refused(graphkit("recommend", "--user", "u", "--type", "t", "-w", tmp_path), ("graphkit export",))


def test_wrong_names_get_a_did_you_mean(graphkit: Cli, finished_chain: Path) -> None:
    on = ("-w", finished_chain)
    assert_refused(graphkit("config", "--preset", "defalt"), ("did you mean 'default'",))
    assert_refused(graphkit("train-hgnn", "--set", "hgnn.epoch=1", *on), ("did you mean 'epochs'",))
    assert_refused(graphkit("import", "eswc2051", finished_chain, *on), ("did you mean 'eswc2015'",))
    assert_refused(graphkit("recommend", "--user", "x", "--type", "audiobok", *on), ("did you mean 'audiobook'",))
    assert_refused(graphkit("similar", "--item", "nothing-like-it", *on), ("nothing-like-it",))
    assert_refused(graphkit("recommend", "--user", "x", "--type", "audiobook", "-k", 0, *on), ("k",))


def test_an_unknown_user_gets_what_is_popular(graphkit: Cli, finished_chain: Path) -> None:
    result = graphkit("recommend", "--user", "nobody", "--type", "audiobook", "-w", finished_chain)
    assert result.exit_code == 0, result.output
    assert "popularity" in result.output


@pytest.fixture
def damaged(own_chain: Path) -> tuple[Path, Path]:
    """The chain with one byte of its graph flipped, and the damaged file."""
    path = Workspace(own_chain).current("graph").path("features.safetensors")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    return own_chain, path


def test_a_damaged_artefact_is_refused_by_name_and_mended_by_its_stage(
    damaged: tuple[Path, Path], graphkit: Cli
) -> None:
    root, path = damaged
    words = ("-w", root, "--preset", "demo", "--set", "hgnn.epochs=1")
    assert_refused(graphkit("train-hgnn", *words), (str(path), "hash mismatch", "graphkit build-graph"))
    shutil.rmtree(path.parent)
    assert_refused(graphkit("train-hgnn", *words), ("graph", "graphkit build-graph"))
    rebuilt = graphkit("build-graph", "-w", root, "--preset", "demo")
    assert rebuilt.exit_code == 0, rebuilt.output


def test_an_artefact_of_another_batch_is_refused_with_both_ids(own_chain: Path, graphkit: Cli) -> None:
    workspace = Workspace(own_chain)
    old = workspace.current("graph")
    made = graphkit("build-graph", "-w", own_chain, "--preset", "demo", "--set", "graph.top_k=5")
    assert made.exit_code == 0, made.output
    new = workspace.current("graph")
    assert_refused(graphkit("train-towers", "-w", own_chain, "--preset", "demo"), (old.id, new.id, "train-hgnn"))


def test_an_unwritable_workspace_is_named(graphkit: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = graphkit("sample", "--size", "tiny", "-w", tmp_path / "file" / "ws")
    assert_refused(result, (str(tmp_path / "file"), "--workspace"))


@pytest.mark.parametrize("limit_bytes", [2_000, 200_000])
def test_a_disk_that_takes_no_more_is_named_and_nothing_good_is_lost(own_chain: Path, limit_bytes: int) -> None:
    before = Workspace(own_chain).current("graph")

    def small_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    words = ["build-graph", "-w", str(own_chain), "--preset", "demo", "--set", "graph.top_k=7"]
    done = subprocess.run(
        [sys.executable, "-m", "cli", *words], preexec_fn=small_files, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONDONTWRITEBYTECODE": "1"},
    )  # fmt: skip
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert "earlier batches are untouched" in done.stderr
    after = Workspace(own_chain).current("graph")
    assert (after.id, after.content_hash) == (before.id, before.content_hash)
