"""The graph stage: its files, what it refuses, and that it never looks ahead."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from graph_logs import NUM_ITEMS, Row, dataset_of, day, meta_of, workspace_of
from hypothesis import given, settings
from hypothesis import strategies as st

from graphkit import text_encoder
from graphkit.artefacts import Workspace
from graphkit.config import load_config
from graphkit.datasets.store import DatasetMeta
from graphkit.errors import ConfigError, DataError, InputError
from graphkit.graph.build import build_graph
from graphkit.graph.relations import kept_relations
from graphkit.graph.store import CO_LISTENING, FIT, SERVE, Relation, edge_table, read_about, read_graph
from graphkit.graph.windows import Window, snapshot_windows
from graphkit.pipeline import stage_spec
from graphkit.text import random_vectors

DAY = 24 * 60
#: These logs are so small that some relations have no edge.
KEEP = "graph.empty_relations=keep"
#: Label period from day 20, test from day 30.
META = meta_of(cutoff_day=30, label_day=20)
ROWS = [
    Row(0, "audiobook", 0, 5 * DAY), Row(0, "podcast", 1, 6 * DAY), Row(1, "audiobook", 0, 7 * DAY),
    Row(1, "podcast", 1, 8 * DAY), Row(1, "podcast", 2, 9 * DAY), Row(0, "track", 0, 10 * DAY),
    Row(1, "track", 1, 20 * DAY), Row(0, "audiobook", 3, 25 * DAY),  # the label period
]  # fmt: skip
TEST_ROWS = [Row(0, "audiobook", 1, 30 * DAY, "test"), Row(1, "audiobook", 1, 31 * DAY, "test")]
WEAK_ROWS = [Row(0, "track", 2, 5 * DAY, signal="follow")]


def joined(src: str, dst: str) -> Relation:
    return Relation(src, CO_LISTENING, dst)


def test_snapshots_end_where_they_must(tmp_path: Path) -> None:
    workspace = workspace_of(tmp_path, [*ROWS, *TEST_ROWS, *WEAK_ROWS], META)
    batch = build_graph(workspace, load_config(overrides=[KEEP, "graph.weight=count"]))
    fit, serve = read_graph(batch, FIT), read_graph(batch, SERVE)
    assert fit.num_nodes == NUM_ITEMS
    assert fit.relations[joined("podcast", "audiobook")].indices.tolist() == [1, 2]
    assert fit.relations[joined("podcast", "audiobook")].weight.tolist() == [2, 1]
    assert fit.relations[joined("audiobook", "audiobook")].indices.tolist() == []
    assert serve.relations[joined("audiobook", "audiobook")].indptr.tolist() == [0, 1, 1, 1, 2]
    assert serve.relations[joined("audiobook", "audiobook")].indices.tolist() == [3, 0]
    assert fit.relations[joined("track", "podcast")].indices.tolist() == [0]
    assert serve.relations[joined("track", "podcast")].indices.tolist() == [0, 1, 1]


def test_what_the_manifest_tells(tmp_path: Path) -> None:
    workspace = workspace_of(tmp_path, ROWS, META)
    batch = build_graph(workspace, load_config(overrides=[KEEP, "graph.window_days=20"]))
    manifest = batch.manifest
    assert manifest.snapshot_id == workspace.current("dataset").manifest.snapshot_id
    assert manifest.data_window == {
        "fit_start": day(0).isoformat(), "fit_end": day(20).isoformat(),
        "serve_start": day(10).isoformat(), "serve_end": day(30).isoformat(),
    }  # fmt: skip
    assert manifest.row_counts["fit/audiobook-podcast"] == 2
    assert manifest.metrics["edges"]["fit"]["podcast-podcast"] == 1
    assert manifest.metrics["isolated_nodes"]["fit"] == {"audiobook": 3, "podcast": 3, "track": 2}
    assert manifest.metrics["users"] == {"fit": 2, "serve": 2}
    assert manifest.metrics["users_capped"] == {"fit": 0, "serve": 0}
    assert "no item has a title" in manifest.metrics["text_warning"]
    assert manifest.metrics["text_coverage"] == {"audiobook": 0, "podcast": 0, "track": 0}


def test_the_table_for_people(tmp_path: Path) -> None:
    batch = build_graph(workspace_of(tmp_path, ROWS, META), load_config(overrides=[KEEP, "graph.weight=count"]))
    table = pl.read_parquet(batch.path(edge_table(FIT, joined("audiobook", "podcast"))))
    assert table.rows() == [(0, 1, 2, 2.0, True, True), (0, 2, 1, 1.0, True, True)]
    assert table.columns == ["src", "dst", "support", "weight", "at_src", "at_dst"]
    assert read_about(batch)["relations"][:3] == [
        ["audiobook", "co-listening", "audiobook"],
        ["audiobook", "co-listening", "podcast"],
        ["audiobook", "co-listening", "track"],
    ]


def test_without_timestamps_both_snapshots_are_all_of_train(tmp_path: Path) -> None:
    rows = [row._replace(minute=None) for row in [*ROWS, *TEST_ROWS]]
    batch = build_graph(workspace_of(tmp_path, rows, meta_of()), load_config(overrides=[KEEP]))
    fit, serve = read_graph(batch, FIT), read_graph(batch, SERVE)
    assert sum(len(csc.indices) for csc in fit.relations.values()) > 0
    for relation, csc in fit.relations.items():
        assert csc.indices.tolist() == serve.relations[relation].indices.tolist()
    assert serve.relations[joined("track", "audiobook")].indices.tolist() == [0, 1, 0]
    assert set(batch.manifest.data_window.values()) == {None}


def test_a_finished_batch_is_taken_as_it_is(tmp_path: Path) -> None:
    workspace = workspace_of(tmp_path, ROWS, META)
    first = build_graph(workspace, load_config(overrides=[KEEP]))
    assert build_graph(workspace, load_config(overrides=[KEEP])).manifest.created_at == first.manifest.created_at
    assert build_graph(workspace, load_config(overrides=[KEEP, "graph.top_k=1"])).id != first.id


def test_the_same_log_gives_the_same_bytes_whatever_the_test_rows(tmp_path: Path) -> None:
    hashes = set()
    for name, extra in {"none": [], "some": TEST_ROWS, "again": [], "other": [TEST_ROWS[0]._replace(item=2)]}.items():
        workspace = workspace_of(tmp_path / name, [*ROWS, *extra], META)
        hashes.add(build_graph(workspace, load_config(overrides=[KEEP])).content_hash)
    assert len(hashes) == 1


nodes = st.sampled_from([(kind, item) for kind, size in NUM_ITEMS.items() for item in range(size)])
later_rows = st.lists(st.builds(lambda user, node, minute: Row(user, *node, minute), st.integers(0, 7), nodes,
                                st.integers(20 * DAY, 40 * DAY)), max_size=20)  # fmt: skip


@given(later_rows, st.integers(1, 20))
@settings(max_examples=12, deadline=None)
def test_nothing_at_or_after_its_end_reaches_a_snapshot(later: list[Row], max_items: int) -> None:
    later = [row._replace(split="test") if row.minute >= 30 * DAY else row for row in later]  # type: ignore[operator]
    config = load_config(overrides=[KEEP, f"graph.max_items_per_user={max_items}", "graph.top_k=2"])
    early = ROWS[:6]
    # Rows that every serve graph below has, so that it is never empty.
    known = [Row(user, "podcast", 0, 29 * DAY) for user in (6, 7)] + [Row(7, "track", 2, 29 * DAY)]

    def edges(rows: list[Row], name: str) -> list[list[tuple[object, ...]]]:
        with tempfile.TemporaryDirectory() as folder:
            batch = build_graph(workspace_of(Path(folder), rows, META), config)
            tables = [batch.path(edge_table(name, relation)) for relation in kept_relations(META.types, ())]
            return [pl.read_parquet(table).rows() for table in tables]

    own_pairs = [*early, Row(0, "audiobook", 1, 1 * DAY), Row(0, "audiobook", 2, 2 * DAY)]
    if max_items == 1:
        with pytest.raises(DataError, match="'fit' graph has no edges"):
            edges([*own_pairs, *known], FIT)
        return
    assert edges([*own_pairs, *known, *later], FIT) == edges([*own_pairs, *known], FIT)
    before_test = [row for row in later if row.split == "train"]
    assert edges([*own_pairs, *known, *later], SERVE) == edges([*own_pairs, *known, *before_test], SERVE)


def test_windows() -> None:
    with tempfile.TemporaryDirectory() as folder:
        dataset = dataset_of(Path(folder), ROWS, META)
    assert snapshot_windows(dataset, 7) == {FIT: Window(day(13), day(20)), SERVE: Window(day(23), day(30))}
    assert snapshot_windows(dataset, None) == {FIT: Window(None, day(20)), SERVE: Window(None, day(30))}


def build(root: Path, rows: list[Row], *overrides: str) -> Workspace:
    workspace = workspace_of(root, rows, META)
    build_graph(workspace, load_config(overrides=[KEEP, *overrides]))
    return workspace


def test_a_relation_without_edges_is_refused_by_name_or_kept_with_a_warning(tmp_path: Path) -> None:
    rows = ROWS[:5] + ROWS[6:]
    with pytest.raises(
        DataError, match=r"(?s)'fit' graph has no edges of the relation .*track-track.*=\[.*track-track\]"
    ):
        build_graph(workspace_of(tmp_path / "refused", rows, META), load_config())
    workspace = build(tmp_path / "kept", rows)
    warnings = workspace.current("graph").manifest.metrics["warnings"]
    assert "the relation track-track has no edges in the 'fit' graph" in warnings
    assert read_graph(workspace.current("graph"), FIT).relations[joined("track", "track")].indptr.tolist() == [
        0,
        0,
        0,
        0,
    ]


@pytest.mark.parametrize("meta", [META, meta_of()])
def test_a_type_without_items_has_empty_tables(tmp_path: Path, meta: DatasetMeta) -> None:
    types = {"film": 0, **NUM_ITEMS}
    workspace = workspace_of(
        tmp_path, ROWS, meta.model_copy(update={"types": tuple(types), "num_items": types, "num_users": 8})
    )
    batch = build_graph(workspace, load_config(overrides=[KEEP]))
    for snapshot in (FIT, SERVE):
        table = pl.read_parquet(batch.path(edge_table(snapshot, joined("film", "track"))))
        assert (table.height, table.columns[:2]) == (0, ["src", "dst"])
        assert read_graph(batch, snapshot).relations[joined("film", "track")].indptr.tolist() == [0, 0, 0, 0]


def test_seconds_are_asked_of_the_rows_that_count(tmp_path: Path) -> None:
    """Follows carry seconds, streams none: with follows alone 30 seconds can be asked for."""
    rows = [row._replace(signal="follow", seconds=20.0 + 5 * k) for k, row in enumerate(ROWS)]
    short = build(tmp_path, [*rows, *ROWS[:2]], 'graph.signal_weights={"follow": 1}', "graph.min_seconds=30")
    assert short.current("graph").manifest.metrics["rows_too_short"] == {"fit": 4, "serve": 4}
    with pytest.raises(DataError, match="the rows that count have none"):
        build(tmp_path / "none", ROWS, "graph.min_seconds=30")


def test_excluded_relations_are_left_out_in_either_order(tmp_path: Path) -> None:
    workspace = build(tmp_path, ROWS, "graph.exclude_relations=[podcast-audiobook,track-track]")
    relations = read_graph(workspace.current("graph"), FIT).relations
    assert joined("audiobook", "podcast") not in relations
    assert joined("podcast", "audiobook") not in relations
    assert joined("track", "track") not in relations
    assert joined("track", "audiobook") in relations


ALL = "audiobook-audiobook,audiobook-podcast,audiobook-track,podcast-podcast,podcast-track,track-track"


@pytest.mark.parametrize(
    ("rows", "overrides", "kind", "says"),
    [
        (ROWS, ["graph.min_support=9"], DataError, ["'fit' graph has no edges", "9 users", "min_support"]),
        ([Row(3, "podcast", i, i) for i in range(3)], [], DataError, ["only one user", "3 items", "at least two"]),
        (ROWS, ["graph.window_days=2"], DataError,
         ["'fit' graph holds no", "8 interactions from 2024-01-06", "to 2024-01-26", "from 2024-01-19"]),
        (TEST_ROWS, [], DataError, ["no strong train interactions", "dataset card"]),
        (ROWS, ["graph.exclude_relations=[podcast-podcats]"], ConfigError, ["did you mean 'podcast-podcast'"]),
        (ROWS, [f"graph.exclude_relations=[{ALL}]"], ConfigError, ["leaves no relation"]),
        (ROWS, ["text.model=/no/such/folder"], InputError, ["there is no folder"]),
    ],
)  # fmt: skip
def test_refusals(
    tmp_path: Path, rows: list[Row], overrides: list[str], kind: type[InputError], says: list[str]
) -> None:
    workspace = workspace_of(tmp_path, rows, META)
    with pytest.raises(kind) as raised:
        build_graph(workspace, load_config(overrides=[KEEP, *overrides]))
    assert raised.value.exit_code == 2
    for words in says:
        assert words in str(raised.value)
    assert not workspace.has("graph")


def test_a_refusal_leaves_the_earlier_graph(tmp_path: Path) -> None:
    workspace = build(tmp_path, ROWS)
    before = workspace.current("graph").id
    with pytest.raises(DataError):
        build_graph(workspace, load_config(overrides=[KEEP, "graph.min_support=9"]))
    assert workspace.current("graph").id == before


def test_without_a_text_model_items_have_random_vectors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_encoder, "_load_model", None)
    workspace = workspace_of(tmp_path, ROWS, META, titles="Eine Geschichte", language="de")
    batch = build_graph(workspace, load_config(overrides=[KEEP, "text.model=none", "run.seed=3"]))
    features = read_graph(batch, FIT).features
    assert {name: rows.tobytes() for name, rows in features.items()} == {
        name: random_vectors(3, name, count).tobytes() for name, count in NUM_ITEMS.items()
    }
    assert read_about(batch)["text_model"] == "none"
    assert batch.manifest.metrics["text_warning"] is None
    assert batch.manifest.metrics["text_coverage"] == dict.fromkeys(NUM_ITEMS, 0)
    assert (
        batch.id
        == stage_spec(workspace, "graph", load_config(overrides=[KEEP, "text.model=none", "run.seed=3"])).batch_id
    )


def test_text_features_of_every_item(tmp_path: Path) -> None:
    workspace = workspace_of(tmp_path, ROWS, META, titles="Eine Geschichte", language="de")
    batch = build_graph(workspace, load_config(overrides=[KEEP]))
    features = read_graph(batch, FIT).features
    assert {name: rows.shape for name, rows in features.items()} == {n: (k, 384) for n, k in NUM_ITEMS.items()}
    assert np.linalg.norm(features["podcast"], axis=1) == pytest.approx(np.ones(5), abs=1e-5)
    assert (features["podcast"][2] == features["audiobook"][2]).all()  # the same title
    assert "multilingual" in batch.manifest.metrics["text_warning"]
    assert batch.manifest.metrics["text_coverage"]["track"] == 1
