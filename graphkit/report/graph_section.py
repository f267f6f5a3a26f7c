"""The page's part about the co-listening graph."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from graphkit.artefacts import Batch
from graphkit.graph.store import SNAPSHOTS, read_about
from graphkit.report.formatting import ABSENT, count, percent


class RelationEdges(NamedTuple):
    """Edges of one relation: per snapshot the count, and the share of the largest count of the table."""

    relation: str
    edges: list[str]
    shares: list[float]


class NodeCounts(NamedTuple):
    """Nodes of one type, how many have a text, and per snapshot how many have no edge."""

    item_type: str
    nodes: int
    text_coverage: str
    isolated: list[str]


@dataclass(frozen=True)
class GraphSection:
    """Everything the template shows about the graph."""

    snapshots: list[str]
    relations: list[RelationEdges]
    nodes: list[NodeCounts]
    facts: list[tuple[str, str]]
    warnings: list[str]


def graph_section(graph: Batch) -> GraphSection:
    """Read the section off the graph's manifest."""
    metrics, about = graph.manifest.metrics, read_about(graph)
    edges: dict[str, dict[str, int]] = metrics.get("edges", {})
    snapshots: list[str] = [name for name in SNAPSHOTS if name in edges] or list(SNAPSHOTS)
    largest = max((number for found in edges.values() for number in found.values()), default=0)
    relations = [
        RelationEdges(
            relation,
            [count(edges[name].get(relation, 0)) for name in snapshots],
            [edges[name].get(relation, 0) / max(largest, 1) for name in snapshots],
        )
        for relation in next(iter(edges.values()), {})
    ]
    said = [*metrics.get("warnings", []), metrics.get("text_warning")]
    return GraphSection(
        snapshots,
        relations,
        _nodes(about["num_nodes"], metrics, snapshots),
        _facts(metrics, about, snapshots),
        [warning for warning in said if warning],
    )


def _nodes(num_nodes: Mapping[str, int], metrics: Mapping[str, Any], snapshots: list[str]) -> list[NodeCounts]:
    covered, isolated = metrics.get("text_coverage", {}), metrics.get("isolated_nodes", {})
    return [
        NodeCounts(
            item_type,
            nodes,
            percent(covered[item_type]) if item_type in covered else ABSENT,
            [_of(isolated.get(name, {}).get(item_type), nodes) for name in snapshots],
        )
        for item_type, nodes in num_nodes.items()
    ]


def _of(part: int | None, whole: int) -> str:
    return ABSENT if part is None else f"{count(part)} ({percent(part / max(whole, 1))})"


def _facts(metrics: Mapping[str, Any], about: Mapping[str, Any], snapshots: list[str]) -> list[tuple[str, str]]:
    facts = [
        (name, str(about[key]))
        for key, name in (("text_model", "text model"), ("weight", "edge weight"))
        if key in about
    ]
    labels = {
        "users": "users",
        "users_capped": "users cut to their most recent items",
        "pairs_cut": "(user, item) pairs left out by that cut",
    }
    for key, label in labels.items():
        found = metrics.get(key, {})
        if any(found.get(name) for name in snapshots):
            facts.append((label, ", ".join(f"{name} {count(found.get(name, 0))}" for name in snapshots)))
    return facts
