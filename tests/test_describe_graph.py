"""``graphkit describe graph``: degrees, components and imbalance, by hand and against brute force."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphkit.artefacts import Batch, StageSpec, Workspace
from graphkit.config import load_config
from graphkit.config.hgnn import HgnnSection
from graphkit.describe.components import ComponentFinder
from graphkit.describe.degrees import in_degrees, summarise_degrees
from graphkit.describe.graph import SnapshotDescription, measure_graph
from graphkit.describe.imbalance import balance, balanced_draw
from graphkit.describe.tables import headings, tables
from graphkit.graph.store import CO_LISTENING, LISTENING, PLAYLIST, Relation, edge_table, save_about

CONFIG = load_config("default")
BB, BS, SS = (Relation(a, CO_LISTENING, b) for a, b in (("book", "book"), ("book", "song"), ("song", "song")))
NODES = {"book": 5, "song": 4}
Edge = tuple[int, int]


def frame(edges: list[Edge], one_way: bool = False) -> pl.DataFrame:
    """An edge table; ``one_way``: every edge is an in-edge of its destination only."""
    src, dst = (pl.Series([edge[i] for edge in edges], dtype=pl.UInt32) for i in (0, 1))
    support = pl.Series(range(1, len(edges) + 1), dtype=pl.UInt32)
    return pl.DataFrame(
        {"src": src, "dst": dst, "support": support, "weight": support.cast(pl.Float32) / 10}
    ).with_columns(at_src=pl.lit(not one_way), at_dst=pl.lit(True))


def graph_batch(
    root: Path, fit: dict[Relation, list[Edge]], serve: dict[Relation, list[Edge]] | None = None
) -> Batch:
    workspace = Workspace(root)
    nodes = NODES | ({"user": 3} if any("user" in relation for relation in fit) else {})
    with workspace.begin(StageSpec.of("graph", CONFIG, inputs={"edges": repr((fit, serve))})) as work:
        for snapshot, relations in (("fit", fit), ("serve", serve or fit)):
            for relation, edges in relations.items():
                path = work.path(edge_table(snapshot, relation))
                path.parent.mkdir(parents=True, exist_ok=True)
                frame(edges).write_parquet(path)
        save_about(work.folder, nodes, list(fit), {"book": np.zeros((5, 2), np.float32)}, {})
        work.metrics = {"users": {"fit": 9, "serve": 9}, "users_capped": {"fit": 2}, "pairs_cut": {"fit": 30}}
        return work.commit()


SMALL = {BB: [(0, 1), (1, 2)], BS: [(0, 0), (0, 1), (3, 3)], SS: [(0, 1)]}


def snapshot_of(batch: Batch, name: str = "fit", targets: tuple[str, ...] = ("book",)) -> SnapshotDescription:
    return next(s for s in measure_graph(batch, targets, CONFIG).snapshots if s.snapshot == name)


def test_degrees_of_a_small_graph(tmp_path: Path) -> None:
    found = {(d.node_type, d.relation): d for d in snapshot_of(graph_batch(tmp_path, SMALL)).degrees}
    books = found["book", None]
    assert (books.nodes, books.without_edge, books.mean) == (5, 1, 7 / 5)  # degrees 3, 2, 1, 1, 0
    assert books.histogram == {"0": 1, "1": 2, "2-3": 2}
    assert (books.quantiles["0%"], books.quantiles["50%"], books.quantiles["100%"]) == (0, 1, 3)
    assert found["book", "book-book"].histogram == {"0": 2, "1": 2, "2-3": 1}
    assert found["song", "book-song"].histogram == {"0": 1, "1": 3}
    assert found["song", "song-song"].without_edge == 2
    assert ("song", "book-book") not in found


def test_an_edge_pruned_by_destination_is_a_neighbour_at_one_end_only() -> None:
    one_way = in_degrees(frame([(0, 1), (2, 1)], one_way=True), BB, NODES)
    assert one_way["book"].tolist() == [0, 2, 0, 0, 0]
    both = in_degrees(frame([(0, 1), (2, 1)]), BB, NODES)
    assert both["book"].tolist() == [1, 2, 1, 0, 0]
    across = in_degrees(frame([(0, 3)], one_way=True), BS, NODES)
    assert (across["book"].sum(), across["song"].tolist()) == (0, [0, 0, 0, 1])


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=50))
def test_every_node_is_in_the_bin_of_its_degree(degrees: list[int]) -> None:
    found = summarise_degrees("book", None, np.array(degrees, np.int64))
    for name, count in found.histogram.items():
        low, _, high = name.partition("-")
        assert count == sum(int(low) <= degree <= int(high or low) for degree in degrees)
    assert sum(found.histogram.values()) == len(degrees)


def test_components_of_a_small_graph(tmp_path: Path) -> None:
    found = {c.relation: c for c in snapshot_of(graph_batch(tmp_path, SMALL)).components}
    # Books 0, 1, 2 with songs 0, 1; book 3 with song 3; book 4 and song 2 alone.
    assert (found[None].components, found[None].largest, found[None].isolated) == (2, 5, 2)
    assert found[None].largest_by_type == {"book": 3 / 5, "song": 2 / 4}
    assert (found["book-song"].components, found["book-song"].largest, found["book-song"].isolated) == (2, 3, 4)
    assert found["song-song"].largest_by_type == {"song": 0.5}


def test_a_graph_without_edges_has_no_component(tmp_path: Path) -> None:
    found = snapshot_of(graph_batch(tmp_path, {BB: []}))
    assert [(c.components, c.largest, c.largest_by_type["book"]) for c in found.components] == [(0, 0, 0.0)] * 2
    assert found.balance[0].over_smallest is None
    assert (found.balance[0].drawn, found.balance[0].visited) == (0, 0.0)
    assert found.strengths[0].support == {}
    assert list(tables(measure_graph(graph_batch(tmp_path, {BB: []}), ("book",), CONFIG)))


edge_sets = st.fixed_dictionaries(
    {
        relation: st.lists(
            st.tuples(st.integers(0, NODES[relation.src] - 1), st.integers(0, NODES[relation.dst] - 1))
        )
        for relation in (BB, BS, SS)
    }
)


@given(edge_sets)
@settings(max_examples=60, deadline=None)
def test_components_equal_those_of_one_walk_over_all_edges(edges: dict[Relation, list[Edge]]) -> None:
    finder = ComponentFinder(NODES)
    for relation, found in edges.items():
        finder.add(frame(found), relation)
    together = finder.together()
    parts = walk([((r.src, a), (r.dst, b)) for r, found in edges.items() for a, b in found])
    sizes = sorted(map(len, parts))
    assert together.isolated == sizes.count(1)
    assert together.components == len(sizes) - sizes.count(1)
    assert together.largest == (sizes[-1] if sizes[-1] > 1 else 0)


def walk(edges: list[tuple[Any, Any]]) -> list[set[Any]]:
    """The sets of nodes that edges join, merged one edge at a time."""
    part = {(name, i): {(name, i)} for name, count in NODES.items() for i in range(count)}
    for one, other in edges:
        if part[one] is not part[other]:
            part[one] |= part[other]
            for node in part[other]:
                part[node] = part[one]
    return list({id(found): found for found in part.values()}.values())


def test_imbalance_against_the_target_and_the_smallest() -> None:
    settings_of = HgnnSection(min_edges_per_relation=10, max_edges_per_relation=50, validation_share=0.1)
    found = {row.relation: row for row in balance({BB: 100, BS: 1000, SS: 20}, ("book",), settings_of)}
    assert found["book-song"].over_target == 10
    assert found["book-song"].over_smallest == 50
    # 18 songs' edges are left to train on, so 18 of each: of 90, 900 and 18.
    assert [row.drawn for row in found.values()] == [18, 18, 18]
    assert [row.visited for row in found.values()] == pytest.approx([0.2, 0.02, 1.0])
    assert [row.over_target for row in balance({BS: 10}, ("book",), settings_of)] == [None]


@given(
    st.lists(st.integers(0, 60_000), min_size=3, max_size=3),
    st.integers(1, 5000),
    st.integers(1, 40_000),
    st.sampled_from([None, BS]),
)
@settings(deadline=None)
def test_the_draw_is_the_sampler_s_own(counts: list[int], least: int, most: int, reference: Relation | None) -> None:
    from graphkit.hgnn.sampler import draw_counts

    available = dict(zip((BB, BS, SS), counts, strict=True))
    named = reference.name if reference and available[reference] else None  # the sampler refuses one without edges
    config = HgnnSection(min_edges_per_relation=least, max_edges_per_relation=most, reference_relation=named)
    drawn = balanced_draw(available, config)
    assert {relation: count for relation, count in drawn.items() if count} == draw_counts(available, config)


def test_snapshots_that_are_the_same_are_measured_once(tmp_path: Path) -> None:
    found = measure_graph(graph_batch(tmp_path, SMALL), ("book",), CONFIG)
    assert [s.same_as for s in found.snapshots] == [None, "fit"]
    assert found.snapshots[1].snapshot == "serve"
    assert "serve has the same edges as fit" in headings(found)
    more = graph_batch(tmp_path / "more", SMALL, {**SMALL, SS: [(0, 1), (2, 3)]})
    serve = snapshot_of(more, "serve")
    assert serve.same_as is None
    assert {row.relation: row.edges for row in serve.balance}["song-song"] == 2


def test_what_the_builder_left_out_is_told(tmp_path: Path) -> None:
    found = measure_graph(graph_batch(tmp_path, SMALL), ("book",), CONFIG)
    assert "fit is made from 9 users, 2 of them cut to their most recent items (30 left out)" in headings(found)


def test_users_and_playlists_are_relations_like_any_other(tmp_path: Path) -> None:
    listening, playlist = Relation("user", LISTENING, "book"), Relation("song", PLAYLIST, "song")
    found = snapshot_of(graph_batch(tmp_path, {listening: [(0, 0), (0, 1), (2, 1)], playlist: [(0, 1)]}))
    assert [row.relation for row in found.balance] == ["listening:user-book", "playlist:song-song"]
    assert found.reference is None
    users = next(d for d in found.degrees if d.node_type == "user" and d.relation)
    assert users.histogram == {"0": 1, "1": 1, "2-3": 1}
    assert found.components[0].largest_by_type == {"book": 2 / 5, "song": 0, "user": 2 / 3}
    assert found.strengths[0].support["100%"] == 3
    assert found.strengths[0].weight["0%"] == pytest.approx(0.1)
