"""`graphkit build-graph` as a user types it: every option, every wrong value, the dry run, the other graphs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from graphkit.artefacts import Workspace
from graphkit.graph.store import SERVE, read_graph

Cli = Callable[..., Result]


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny sample world; tests build in copies of it, or refuse to build."""
    from click.testing import CliRunner

    import cli

    root = tmp_path_factory.mktemp("sample")
    assert CliRunner().invoke(cli.main, ["sample", "--size", "tiny", "-w", str(root)]).exit_code == 0
    return root


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("graph.window_days=-5", "greater than 0"),
        ("graph.window_days=0", "greater than 0"),
        ("graph.window_days=40000", "less than or equal to 36500"),
        ("graph.max_gap_days=1e12", "less than or equal to 36500"),
        ('graph.signal_weights={"stream": 1e30}', "less than or equal to 1000000"),
        ("graph.max_items_per_user=0", "greater than 0"),
        ("graph.min_support=0", "greater than 0"),
        ("graph.top_k=0", "greater than 0"),
        ("graph.max_gap_days=0", "greater than 0"),
        ("graph.max_gap_days=-1", "greater than 0"),
        ("graph.min_seconds=-1", "greater than or equal to 0"),
        ("graph.shrinkage=-1", "greater than or equal to 0"),
        ("graph.shrinkage=NaN", "finite"),
        ("graph.weight=cosinus", "'cosine'"),
        ("graph.prune=hard", "'destination'"),
        ("graph.heavy_users=1/n", "'linear'"),
        ("graph.kinds=[]", "at least 1"),
        ("graph.kinds=[playlists]", "'playlist'"),
        ('graph.signal_weights={"strem": 1}', "did you mean 'stream'"),
        ('graph.signal_weights={"audiobok.stream": 1}', "did you mean 'audiobook.stream'"),
        ('graph.signal_weights={"stream": 0}', "greater than or equal to 0.000001"),
        ("graph.exclude_relations=[playlist:track-track]", "known: audiobook-audiobook"),
        ("graph.memory=lots", "as 4GiB or 800MiB"),
        ("graph.memory=-4GiB", "as 4GiB or 800MiB"),
        ("graph.memory=1MiB", "at least"),
    ],
)
def test_a_wrong_option_is_refused_by_name(setting: str, says: str, graphkit: Cli, sample: Path) -> None:
    before = Workspace(sample).rotation("graph")
    done = graphkit("build-graph", "-w", sample, "--set", setting)
    assert done.exit_code == 2
    assert says in done.stderr
    assert setting.partition("=")[0] in done.stderr or "memory" in done.stderr
    assert Workspace(sample).rotation("graph") == before


def test_a_cutoff_before_the_data_is_refused(graphkit: Cli, tmp_path: Path) -> None:
    done = graphkit("sample", "--size", "tiny", "-w", tmp_path, "--set", "split.cutoff=1999-01-01")
    assert done.exit_code == 2
    assert "leaves no train" in done.stderr


def test_memory_is_no_part_of_what_a_graph_is(graphkit: Cli, sample: Path, tmp_path: Path) -> None:
    one, other = (
        json.loads(graphkit("build-graph", "-w", sample, "--memory", size, "--json").stdout)
        for size in ("8GiB", "9GiB")  # of this process, to which earlier tests loaded a lot
    )
    assert (one["fresh"], other["fresh"]) == (True, False)
    assert one["batch_id"] == other["batch_id"]


def test_the_dry_run_expects_what_then_happens(graphkit: Cli, sample: Path, tmp_path: Path) -> None:
    options = ("-w", sample, "--set", "graph.top_k=20", "--json")
    expected = json.loads(graphkit("build-graph", "--dry-run", *options).stdout)[0]["estimate"]
    assert (expected["users_sampled"], expected["users"]) == (400, 400)
    built = json.loads(graphkit("build-graph", *options).stdout)
    assert {f"{row['snapshot']}/{row['relation']}": row["edges"] for row in expected["relations"]} == (
        built["row_counts"]
    )
    assert sum(row["pairs"] for row in expected["relations"]) == sum(built["metrics"]["pairs_counted"].values())


def build(graphkit: Cli, root: Path, *settings: str) -> Workspace:
    done = graphkit("build-graph", "-w", root, *(word for setting in settings for word in ("--set", setting)))
    assert done.exit_code == 0, done.output
    return Workspace(root)


def test_the_tripartite_graph_joins_users_to_items(graphkit: Cli, sample: Path) -> None:
    batch = build(graphkit, sample, "graph.kinds=[listening]").current("graph")
    graph = read_graph(batch, SERVE)
    assert graph.types == ("user", "audiobook", "podcast", "track")
    assert {relation.name for relation in graph.relations} == {
        "listening:user-audiobook", "listening:audiobook-user", "listening:user-podcast",
        "listening:podcast-user", "listening:user-track", "listening:track-user",
    }  # fmt: skip
    assert sum(len(csc.indices) for csc in graph.relations.values()) == 2 * batch.manifest.metrics["pairs"]["serve"]
    assert "user" not in graph.features


def test_playlists_are_relations_of_their_own(graphkit: Cli, sample: Path) -> None:
    workspace = build(
        graphkit, sample, "graph.kinds=[co-listening, playlist]", "graph.exclude_relations=[track-track]"
    )
    counts = workspace.current("graph").manifest.metrics["edges"]["fit"]
    assert counts["playlist:track-track"] > 0
    assert "playlist:audiobook-track" not in counts  # no playlist has both
    assert counts["podcast-podcast"] > 0
    assert "track-track" not in counts


def test_playlists_that_are_not_there_are_named(graphkit: Cli, tmp_path: Path) -> None:
    assert graphkit("sample", "--size", "tiny", "-w", tmp_path).exit_code == 0
    workspace = Workspace(tmp_path)
    dataset = workspace.current("dataset")
    dataset.path("playlists.parquet").unlink()
    manifest = dataset.folder / "manifest.json"
    body = json.loads(manifest.read_text())
    del body["files"]["playlists.parquet"]
    manifest.write_text(json.dumps(body))
    done = graphkit("build-graph", "-w", tmp_path, "--set", "graph.kinds=[playlist]")
    assert done.exit_code == 2
    assert "asks for playlists, and the dataset has none" in done.stderr


def test_every_setting_prints_and_reads_back(graphkit: Cli, tmp_path: Path) -> None:
    preset = tmp_path / "mine.toml"
    weights = 'graph.signal_weights={"follow": 0.5, "audiobook.stream": 2}'
    preset.write_text(graphkit("config", "--set", weights).stdout)
    assert graphkit("config", "--preset", preset).stdout == preset.read_text()
    assert '"audiobook.stream" = 2' in preset.read_text()
