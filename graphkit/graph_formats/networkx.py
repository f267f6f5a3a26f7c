"""NetworkX: a directed multigraph as node-link JSON or GraphML. For small graphs."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import networkx as nx

from graphkit.errors import InputError
from graphkit.graph.store import CoListeningGraph
from graphkit.graph_formats.source import GraphSource, edge_counts, edge_ends

#: A NetworkX edge is several Python objects: a graph of this size, in both directions, takes about a gigabyte.
MAX_EDGES: Final = 500_000
#: What XML 1.0 cannot hold, not even escaped.
_NOT_XML: Final = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_json(source: GraphSource, path: Path) -> dict[str, int]:
    """Read with ``networkx.node_link_graph(json.load(file), edges="edges")``. Edge keys are kinds.

    Nodes are ``type:id`` with ``type``, ``external_id`` and ``title``; edges have ``kind`` and ``weight``.
    Returns the edges per directed relation; raises InputError for more than ``MAX_EDGES`` of them.
    """
    graph, counts = _multigraph(source, text=str, key=lambda kind, number: kind)
    path.write_text(json.dumps(nx.node_link_data(graph, edges="edges")), encoding="utf-8")
    return counts


def write_graphml(source: GraphSource, path: Path) -> dict[str, int]:
    """The same graph as GraphML, with numbers for edge keys, because GraphML wants every edge's id to be its own.

    Characters that XML cannot hold become U+FFFD.
    """
    graph, counts = _multigraph(source, text=_xml_text, key=lambda kind, number: f"e{number}")
    nx.write_graphml(graph, str(path))
    return counts


def _multigraph(
    source: GraphSource, text: Callable[[str], str], key: Callable[[str, int], str]
) -> tuple[Any, dict[str, int]]:
    _check_small(source.num_edges())
    stored = source.read()
    graph = nx.MultiDiGraph(**source.origin)
    names = {t: [text(name) for name in source.names(t)] for t in stored.num_nodes}
    for node_type, of_type in names.items():
        for name, known in zip(of_type, source.nodes(node_type).iter_rows(named=True), strict=True):
            facts = {"type": node_type, **known}
            graph.add_node(name, **{fact: text(value) for fact, value in facts.items() if value is not None})
    _add_edges(graph, stored, names, key)
    return graph, edge_counts(stored)


def _add_edges(
    graph: Any, stored: CoListeningGraph, names: dict[str, list[str]], key: Callable[[str, int], str]
) -> None:
    number = 0
    for relation, csc in stored.relations.items():
        src, dst = (ends.tolist() for ends in edge_ends(csc))
        for s, d, weight in zip(src, dst, csc.weight.tolist(), strict=True):
            ends = names[relation.src][s], names[relation.dst][d]
            graph.add_edge(*ends, key(relation.kind, number), kind=relation.kind, weight=weight)
            number += 1


def _xml_text(value: str) -> str:
    return _NOT_XML.sub("\ufffd", value)


def _check_small(edges: int) -> None:
    if edges > MAX_EDGES:
        raise InputError(
            "the graph is too large for NetworkX and GraphML",
            expected=f"at most {MAX_EDGES:,} edges, those of both directions counted once",
            found=f"{edges:,}",
            fix="take another format (triples streams a graph of any size; dgl, pyg), or build a smaller graph: "
            "lower graph.top_k, raise graph.min_support, or leave relations out",
        )
