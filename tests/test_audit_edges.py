"""The leakage audit's own count of shared users, and every kind of relation, on graphs made by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from planted import edit_json, leaks, only_leak, rehash
from towers_world import CUTOFF, ITEMS, LABEL_START, NUM_USERS, frame, write_dataset

from graphkit import audit_leakage
from graphkit.artefacts import StageSpec, Workspace
from graphkit.audit.sharing import Owners, shared_owners
from graphkit.config import load_config
from graphkit.errors import ArtefactError
from graphkit.graph.store import (
    CO_LISTENING,
    LISTENING,
    PLAYLIST,
    SNAPSHOTS,
    Csc,
    Relation,
    edge_table,
    save_about,
    save_csc,
)

Edge = tuple[int, int, int]
PODCASTS = Relation("podcast", CO_LISTENING, "podcast")
CROSS = Relation("audiobook", CO_LISTENING, "podcast")
PLAYLISTS = Relation("podcast", PLAYLIST, "podcast")
LISTENERS = Relation("user", LISTENING, "podcast")
NUM_NODES = {**ITEMS, "user": NUM_USERS}
#: Within both windows, within that of ``serve`` alone, and in the test period: days before the cut-off.
EARLY, LABEL, TEST = 20.0, 5.0, -1.0


def heard(user: int, item: int, days: float, item_type: str = "podcast", signal: str = "stream") -> dict:
    return {
        "user": user, "item_type": item_type, "item": item, "signal": signal,
        "timestamp": CUTOFF - timedelta(days=days), "split": "test" if days <= 0 else "train",
    }  # fmt: skip


def make(root: Path, rows: Sequence[dict], edges: dict[Relation, dict[str, list[Edge]]], *sets: str) -> Path:
    """A dataset, and a graph with ``edges[relation][snapshot]``."""
    workspace = Workspace(root)
    dataset = write_dataset(workspace, frame(list(rows)))
    write_graph(workspace, StageSpec.of("graph", load_config("default", sets), [dataset]), edges)
    return root


def write_graph(workspace: Workspace, spec: StageSpec, edges: dict[Relation, dict[str, list[Edge]]]) -> None:
    ends = {"fit": LABEL_START, "serve": CUTOFF}
    windows = {f"{name}_end": end.isoformat() for name, end in ends.items()}
    windows |= {f"{name}_start": (end - timedelta(days=90)).isoformat() for name, end in ends.items()}
    with workspace.begin(spec) as work:
        num_nodes = {t: n for t, n in NUM_NODES.items() if any(t in relation for relation in edges) or t != "user"}
        save_about(
            work.folder, num_nodes, list(edges), {"podcast": np.zeros((1, 1), np.float32)}, {"windows": windows}
        )
        for relation, by_snapshot in edges.items():
            for snapshot in SNAPSHOTS:
                rows = by_snapshot.get(snapshot, [])
                schema = dict.fromkeys(("src", "dst", "support"), pl.UInt32)
                table = pl.DataFrame(rows, schema=schema, orient="row")
                table.write_parquet(work.path(edge_table(snapshot, relation)))
                for directed, csc in in_edges(relation, rows):
                    save_csc(work.folder, snapshot, directed, csc)
        work.data_window = windows
        work.commit()


def in_edges(relation: Relation, rows: list[Edge]) -> Iterator[tuple[Relation, Csc]]:
    ends = [(src, dst) for src, dst, _ in rows]
    turned = [(dst, src) for src, dst in ends]
    both = {relation: ends + turned} if relation.same_type else {relation: ends, relation.reverse: turned}
    for directed, found in both.items():
        every = sorted(found, key=lambda pair: pair[::-1])
        dst = np.array([d for _, d in every], np.int64)
        indptr = np.searchsorted(dst, np.arange(NUM_NODES[directed.dst] + 1))
        yield directed, Csc(indptr, np.array([s for s, _ in every], np.int32), np.ones(len(every), np.float32))


BOTH_HEARD = [heard(user, item, EARLY) for user in (1, 2) for item in (3, 4)]


@pytest.mark.parametrize(
    ("relation", "edge", "rows"),
    [
        (PODCASTS, (3, 4, 2), BOTH_HEARD),
        (CROSS, (7, 3, 1), [*BOTH_HEARD, heard(2, 7, EARLY, "audiobook")]),
        (LISTENERS, (2, 4, 1), BOTH_HEARD),
    ],
)
def test_edges_that_rows_explain_are_clean(tmp_path: Path, relation: Relation, edge: Edge, rows: list) -> None:
    root = make(tmp_path, rows, {relation: {"fit": [edge], "serve": [edge]}})
    assert leaks(root) == []
    checked = {f.check: f.checked for f in audit_leakage(Workspace(root)) if f.checked and f.unit == "edges"}
    assert set(checked) == {f"{s}: {relation.kind} edges rest on rows before its end" for s in SNAPSHOTS}
    assert set(checked.values()) == {3}  # in its table, and from either end


@pytest.mark.parametrize(
    ("why", "row", "snapshot"),
    [
        ("in the label period", heard(1, 4, LABEL), "fit"),
        ("at the start of the label period", heard(1, 4, 14.0), "fit"),
        ("in the test period", heard(1, 4, TEST), "serve"),
        ("at the cut-off", heard(1, 4, 0.0), "serve"),
        ("before the window", heard(1, 4, 95.0), "serve"),
        ("a weak signal", heard(1, 4, EARLY, signal="follow"), "serve"),
    ],
)
def test_an_edge_that_only_a_row_outside_explains(tmp_path: Path, why: str, row: dict, snapshot: str) -> None:
    rows = [heard(1, 3, EARLY), row, heard(2, 3, TEST), heard(3, 4, EARLY)]
    root = make(tmp_path, rows, {PODCASTS: {snapshot: [(3, 4, 1)]}})
    leak = only_leak(root)
    assert leak.check == f"{snapshot}: co-listening edges rest on rows before its end"
    first = leak.first_offender
    assert (first["src"], first["dst"], first["user_id"], first["item_id"]) == (
        "podcast-3", "podcast-4", "u1", "podcast-4"
    )  # fmt: skip
    assert first["timestamp"] == row["timestamp"].isoformat()
    assert (first["signal"], first["split"]) == (row["signal"], row["split"])


@pytest.mark.parametrize("weighed", ["follow", "podcast.follow"])
def test_a_weak_signal_that_the_settings_weigh_makes_edges(tmp_path: Path, weighed: str) -> None:
    rows = [heard(1, 3, EARLY), heard(1, 4, EARLY, signal="follow")]
    edges = {PODCASTS: {"serve": [(3, 4, 1)]}}
    assert leaks(make(tmp_path / "weighed", rows, edges, f'graph.signal_weights={{"{weighed}": 0.5}}')) == []
    assert leaks(make(tmp_path / "other", rows, edges, 'graph.signal_weights={"audiobook.follow": 0.5}')) != []


def test_a_support_that_counts_a_test_row(tmp_path: Path) -> None:
    rows = [*BOTH_HEARD, heard(5, 3, EARLY), heard(5, 4, TEST - 1), heard(6, 3, EARLY), heard(6, 4, TEST)]
    root = make(tmp_path, rows, {PODCASTS: {"fit": [(3, 4, 2)], "serve": [(3, 4, 3)]}})
    first = only_leak(root).first_offender
    assert (first["user_id"], first["split"]) == ("u6", "test")
    assert first["why"].startswith("support 3 that 2 users of the window")


def test_a_later_row_is_named_before_an_older_one_and_a_weak_one(tmp_path: Path) -> None:
    rows = [heard(1, 3, EARLY), heard(1, 4, 95.0), heard(1, 4, EARLY, signal="follow"), heard(1, 4, TEST)]
    root = make(tmp_path, rows, {PODCASTS: {"serve": [(3, 4, 1)]}})
    assert only_leak(root).first_offender["split"] == "test"


def test_an_edge_that_no_row_explains(tmp_path: Path) -> None:
    first = only_leak(make(tmp_path, BOTH_HEARD, {PODCASTS: {"fit": [(3, 9, 1)]}})).first_offender
    assert (first["src"], first["dst"]) == ("podcast-3", "podcast-9")
    assert "user_id" not in first
    assert "no row of the dataset explains the rest" in first["why"]


def test_the_first_of_several_is_named(tmp_path: Path) -> None:
    rows = [*BOTH_HEARD, heard(1, 8, TEST), heard(1, 9, TEST)]
    root = make(tmp_path, rows, {PODCASTS: {"serve": [(3, 4, 2), (3, 9, 1), (3, 8, 1)]}})
    leak = only_leak(root)
    assert (leak.checked, leak.first_offender["dst"]) == (2, "podcast-9")


def test_a_listening_edge_from_the_test_period(tmp_path: Path) -> None:
    root = make(tmp_path, [*BOTH_HEARD, heard(7, 4, TEST)], {LISTENERS: {"serve": [(1, 3, 1), (7, 4, 1)]}})
    leak = only_leak(root)
    assert leak.check == "serve: listening edges rest on rows before its end"
    first = leak.first_offender
    assert (first["src"], first["dst"], first["user_id"]) == ("u7", "podcast-4", "u7")
    assert first["split"] == "test"


def with_playlists(root: Path, **more: object) -> None:
    rows = [("morning", 3), ("morning", 4), ("evening", 3), ("evening", 5)]
    batch = Workspace(root).current("dataset")
    table = pl.DataFrame(rows, schema={"playlist_id": pl.String, "item": pl.UInt32}, orient="row")
    table = table.with_columns(pl.lit("podcast").alias("item_type"), **{n: pl.lit(v) for n, v in more.items()})
    table.write_parquet(batch.path("playlists.parquet"))
    rehash(batch.folder, "playlists.parquet")


def test_playlist_edges(tmp_path: Path) -> None:
    edges = {PLAYLISTS: {"fit": [(3, 4, 1), (3, 5, 1)], "serve": [(3, 4, 1), (4, 5, 1)]}}
    root = make(tmp_path, BOTH_HEARD, edges)
    with_playlists(root)
    leak = only_leak(root)
    assert leak.check == "serve: playlist edges rest on untimed playlists"
    first = leak.first_offender
    assert (first["src"], first["dst"]) == ("podcast-4", "podcast-5")
    assert "0 playlists" in first["why"]


def test_playlists_with_a_time_prove_nothing(tmp_path: Path) -> None:
    root = make(tmp_path, BOTH_HEARD, {PLAYLISTS: {"fit": [(3, 4, 1)]}})
    with_playlists(root, added_at=CUTOFF)
    assert [leak.first_offender["column"] for leak in leaks(root)] == ["added_at", "added_at"]


def test_an_edge_to_an_item_that_is_not_there(tmp_path: Path) -> None:
    root = make(tmp_path, BOTH_HEARD, {CROSS: {"fit": [(ITEMS["audiobook"], 3, 1)]}})
    with pytest.raises(ArtefactError, match="outside of the catalogue"):
        audit_leakage(Workspace(root))


@pytest.mark.parametrize("file", ["graph.json", "manifest.json"])
def test_a_window_that_is_not_what_it_may_be(tmp_path: Path, file: str) -> None:
    root = make(tmp_path, BOTH_HEARD, {PODCASTS: {"fit": [(3, 4, 2)]}})
    late = {"serve_end": (CUTOFF + timedelta(days=1)).isoformat()}
    edit_json(root, "graph", file, lambda b: b["windows" if file == "graph.json" else "data_window"].update(late))
    leak = only_leak(root)
    assert leak.check == "windows end at the label period and the cut-off"
    assert late["serve_end"] in leak.first_offender["why"]


@pytest.mark.parametrize("split", ["fixed", "random"])
def test_a_pair_on_both_sides_of_a_split_without_time(tmp_path: Path, split: str) -> None:
    rows = [{**heard(user, item, EARLY), "timestamp": None} for user in (1, 2) for item in (3, 4)]
    held = {**rows[1], "split": "test"}
    batch = write_dataset(Workspace(tmp_path), frame([*rows[:1], *rows[2:], held]), timed=False, split=split)
    assert leaks(tmp_path) == []
    frame([*rows, held]).write_parquet(batch.path("interactions/part-00000.parquet"))
    rehash(batch.folder, "interactions/part-00000.parquet")
    first = only_leak(tmp_path).first_offender
    assert (first["user_id"], first["item_id"], first["split"]) == ("u1", "podcast-4", "train")


def test_a_follow_left_behind_by_a_random_split(tmp_path: Path) -> None:
    """What a random split holds out it holds out under every signal; a fixed one says each row's side itself."""
    rows = [{**heard(1, 3, TEST), "timestamp": None}, {**heard(1, 3, EARLY, signal="follow"), "timestamp": None}]
    for split, expected in (("fixed", 0), ("random", 1)):
        write_dataset(Workspace(tmp_path / split), frame(rows), timed=False, split=split)
        assert len(leaks(tmp_path / split)) == expected


pairs = st.sets(st.tuples(st.integers(0, 5), st.integers(0, 6)))


@settings(max_examples=80, deadline=None)
@given(pairs, pairs, st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5))))
def test_shared_owners_equal_a_count_by_sets(first: set, second: set, edges: list) -> None:
    one, other = ({item: {o for i, o in found if i == item} for item in range(6)} for found in (first, second))
    owners = [
        Owners.of(np.array([i for i, _ in found], np.int64), np.array([o for _, o in found], np.int64), 6, 7)
        for found in (first, second)
    ]
    a, b = (np.array([edge[end] for edge in edges], np.int64) for end in (0, 1))
    assert shared_owners(*owners, a, b).tolist() == [len(one[i] & other[j]) for i, j in edges]
