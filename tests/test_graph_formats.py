"""One contract for every format: what its own library reads back is the graph."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import cli
from graphkit.artefacts import Workspace
from graphkit.graph.store import FIT, SERVE, Relation
from graphkit.graph_formats import triples
from graphkit.graph_formats.export import FORMATS, export_graph
from tests.graph_export_world import (
    NUM_ITEMS,
    NUM_USERS,
    TITLES,
    Edges,
    features,
    name,
    own_id,
    write_workspace,
)

ALL_NODES = {**NUM_ITEMS, "user": NUM_USERS}


@dataclass
class Seen:
    """What a library read: edges with their weights by (source name, relation, destination name)."""

    edges: dict[tuple[str, str, str], float]
    nodes: set[str] | None = None
    features: dict[str, np.ndarray] | None = None
    titles: dict[str, str | None] | None = None


def read_dgl(path: Path) -> Seen:
    dgl = pytest.importorskip("graphkit.hgnn.neighbours_dgl", reason="DGL is not installed here").dgl
    (graph,), _ = dgl.load_graphs(str(path))
    edges = {}
    for way in map(Relation._make, graph.canonical_etypes):
        src, dst = graph.edges(etype=tuple(way))
        weights = graph.edges[tuple(way)].data["weight"]
        for s, d, weight in zip(src.tolist(), dst.tolist(), weights.tolist(), strict=True):
            edges[name(way.src, s), way.name, name(way.dst, d)] = weight
    text = {t: graph.nodes[t].data["text"].numpy() for t in graph.ntypes if "text" in graph.nodes[t].data}
    return Seen(edges, {name(t, i) for t in graph.ntypes for i in range(graph.num_nodes(t))}, text, node_titles(path))


def read_pyg(path: Path) -> Seen:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("torch_geometric", reason="PyTorch Geometric is not installed here")
    import torch

    data = torch.load(path, weights_only=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a type without edges may be intended, as it says
        data.validate()
    edges = {}
    for way in map(Relation._make, data.edge_types):
        store = data[tuple(way)]
        for s, d, weight in zip(*store.edge_index.tolist(), store.edge_weight.tolist(), strict=True):
            edges[name(way.src, s), way.name, name(way.dst, d)] = weight
    text = {t: data[t].x.numpy() for t in data.node_types if "x" in data[t]}
    nodes = {name(t, i) for t in data.node_types for i in range(data[t].num_nodes)}
    return Seen(edges, nodes, text, node_titles(path))


def node_titles(path: Path) -> dict[str, str | None]:
    table = pl.read_parquet(f"{path}.nodes.parquet")
    assert table.columns == ["type", "node", "external_id", "title"]
    assert [row[:3] for row in table.iter_rows()] == [
        (t, i, own_id(t, i)) for t, n in ALL_NODES.items() for i in range(n)
    ]
    return {name(t, i): title for t, i, _, title in table.iter_rows()}


def read_networkx(path: Path) -> Seen:
    import networkx as nx

    graph = nx.node_link_graph(json.loads(path.read_text()), edges="edges")
    return seen_by_networkx(graph, lambda key, kind: key == kind)


def read_graphml(path: Path) -> Seen:
    import networkx as nx

    graph = nx.read_graphml(path, force_multigraph=True)
    keys = [key for *_, key in graph.edges(keys=True)]
    assert len(set(keys)) == len(keys)  # an edge's id is its own in GraphML
    return seen_by_networkx(graph, lambda key, kind: True)


def seen_by_networkx(graph, good_key: Callable[[str, str], bool]) -> Seen:
    assert graph.graph["snapshot"] == SERVE
    types, edges = dict(graph.nodes(data="type")), {}
    for src, dst, key, data in graph.edges(keys=True, data=True):
        assert good_key(key, data["kind"])
        edges[src, Relation(types[src], data["kind"], types[dst]).name, dst] = data["weight"]
    titles = {node: known.get("title") for node, known in graph.nodes(data=True)}
    for node, known in graph.nodes(data=True):
        assert node == f"{known['type'].replace(':', '%3A')}:{known['external_id']}"
    return Seen(edges, set(graph.nodes), None, titles)


def read_triples(path: Path) -> Seen:
    table = pl.read_parquet(path)
    assert table.schema == {"lhs": pl.String, "rel": pl.String, "rhs": pl.String, "weight": pl.Float32}
    edges = {tuple(row[:3]): row[3] for row in table.iter_rows()}
    assert len(edges) == table.height
    return Seen(edges)


READERS = {
    "dgl": read_dgl,
    "pyg": read_pyg,
    "networkx": read_networkx,
    "graphml": read_graphml,
    "triples": read_triples,
}


def named(edges: Edges) -> dict[tuple[str, str, str], float]:
    return {(name(e.relation.src, e.src), e.relation.name, name(e.relation.dst, e.dst)): w for e, w in edges.items()}


@pytest.mark.parametrize("format", READERS)
def test_what_the_library_reads_back_is_the_graph(tmp_path: Path, format: str) -> None:
    edges = write_workspace(tmp_path / "ws")
    done = export_graph(Workspace(tmp_path / "ws"), tmp_path / "new" / "graph", format)
    seen = READERS[format](done.path)
    assert seen.edges == named(edges[SERVE])
    assert seen.edges != named(edges[FIT])
    assert done.num_nodes == ALL_NODES
    assert {n: c for n, c in done.num_edges.items() if c} == counts(edges[SERVE])
    if seen.nodes is not None:
        assert seen.nodes == {name(t, i) for t, n in ALL_NODES.items() for i in range(n)}
    if seen.features is not None:
        assert set(seen.features) == set(NUM_ITEMS)  # users have none
        for node_type, vectors in features().items():
            np.testing.assert_array_equal(seen.features[node_type], vectors)
    if seen.titles is not None:
        bell = str(TITLES[2]).replace("\x07", "\ufffd") if format == "graphml" else TITLES[2]
        titles = [*TITLES[:2], bell, *TITLES[3:]]
        assert seen.titles == {
            name(t, i): None if t == "user" else titles[i] for t, n in ALL_NODES.items() for i in range(n)
        }


def counts(edges: Edges) -> dict[str, int]:
    names = [edge.relation.name for edge in edges]
    return {relation: names.count(relation) for relation in names}


@pytest.mark.parametrize("format", READERS)
def test_the_other_snapshot_and_a_relation_without_edges(tmp_path: Path, format: str) -> None:
    edges = write_workspace(tmp_path / "ws", seed=1)
    done = export_graph(Workspace(tmp_path / "ws"), tmp_path / "graph", format, FIT)
    if format in ("dgl", "pyg", "triples"):  # NetworkX's reader here asks for the serve graph
        assert READERS[format](done.path).edges == named(edges[FIT])
    assert done.num_edges["listening:user-book"] == done.num_edges["listening:book-user"] == 0


@pytest.mark.parametrize("rows_at_once", [1, 2, 1000])
def test_triples_do_not_depend_on_the_block_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_at_once: int
) -> None:
    edges = write_workspace(tmp_path / "ws")
    monkeypatch.setattr(triples, "ROWS_AT_ONCE", rows_at_once)
    export_graph(Workspace(tmp_path / "ws"), tmp_path / "graph.parquet", "triples")
    assert read_triples(tmp_path / "graph.parquet").edges == named(edges[SERVE])


def test_every_format_has_a_reader_here_and_is_known_to_the_command() -> None:
    assert tuple(READERS) == tuple(FORMATS) == cli.GRAPH_FORMATS


def test_a_real_graph_has_the_same_edges_in_every_format(finished_chain: Path, tmp_path: Path) -> None:
    """The builder's tables for people and its tensors say the same."""
    import torch

    workspace = Workspace(finished_chain)
    by_format = {f: export_graph(workspace, tmp_path / f, f) for f in ("triples", "pyg")}
    assert by_format["triples"].num_edges == by_format["pyg"].num_edges
    table, data = pl.read_parquet(tmp_path / "triples"), torch.load(tmp_path / "pyg", weights_only=False)
    ids = pl.read_parquet(tmp_path / "pyg.nodes.parquet")
    for way in data.edge_types:
        src, dst = (ids.filter(pl.col("type") == t)["external_id"] for t in (way[0], way[2]))
        at, to = (ends.numpy() for ends in data[way].edge_index)
        rows = table.filter(pl.col("rel") == Relation(*way).name).sort("lhs", "rhs")
        expected = pl.DataFrame({"lhs": f"{way[0]}:" + src[at], "rhs": f"{way[2]}:" + dst[to],
                                 "weight": data[way].edge_weight.numpy()}).sort("lhs", "rhs")  # fmt: skip
        assert rows.select("lhs", "rhs", "weight").equals(expected)
