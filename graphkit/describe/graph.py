"""What a graph looks like: edges, imbalance, degrees, components, and what the builder left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from graphkit.artefacts import Batch, Workspace
from graphkit.config import Config
from graphkit.datasets.store import Dataset
from graphkit.describe.components import ComponentFinder, Components
from graphkit.describe.degrees import (
    Degrees,
    Strengths,
    in_degrees,
    read_edges,
    summarise_degrees,
    summarise_strengths,
)
from graphkit.describe.imbalance import RelationBalance, balance, reference_relation
from graphkit.graph.store import SNAPSHOTS, edge_table, read_about, undirected_relations
from graphkit.progress import track


@dataclass(frozen=True)
class SnapshotDescription:
    """One snapshot; ``same_as`` names one before it that has the same edges.

    ``reference`` is the relation the others are held against. ``degrees`` and ``components`` start with those
    over all relations together.
    """

    snapshot: str
    same_as: str | None
    reference: str | None
    balance: list[RelationBalance]
    degrees: list[Degrees]
    components: list[Components]
    strengths: list[Strengths]
    users: int | None
    users_capped: int | None
    pairs_cut: int | None


@dataclass(frozen=True)
class GraphDescription:
    """Everything ``graphkit describe graph`` measures."""

    batch: str
    note: str | None
    snapshots: list[SnapshotDescription]


def describe_graph(workspace: Workspace, config: Config) -> GraphDescription:
    """Describe the current graph, both snapshots. Writes nothing.

    Raises ArtefactError where there is no graph.
    """
    graph = workspace.current("graph")
    dataset = Dataset.current(workspace)
    made_from = graph.manifest.upstream.get("dataset")
    stale = f"the graph was made from dataset {made_from}, the current one is {dataset.batch.id}"
    note = None if made_from == dataset.batch.id else f"{stale}: run `graphkit build-graph` again"
    return measure_graph(graph, dataset.meta.targets, config, note)


def measure_graph(graph: Batch, targets: Sequence[str], config: Config, note: str | None = None) -> GraphDescription:
    """``describe_graph`` of a batch; ``targets`` name the relation that the others are held against."""
    found: list[SnapshotDescription] = []
    for snapshot in SNAPSHOTS:
        twin = next((other.snapshot for other in found if _same_edges(graph, other.snapshot, snapshot)), None)
        found.append(
            _measure_snapshot(graph, snapshot, targets, config)
            if twin is None
            else replace(found[-1], snapshot=snapshot, same_as=twin)
        )
    return GraphDescription(graph.id, note, found)


def _same_edges(graph: Batch, one: str, other: str) -> bool:
    files = graph.manifest.files
    return all(
        files.get(edge_table(one, relation)) == files.get(edge_table(other, relation))
        for relation in undirected_relations(graph)
    )


def _measure_snapshot(graph: Batch, snapshot: str, targets: Sequence[str], config: Config) -> SnapshotDescription:
    num_nodes: dict[str, int] = read_about(graph)["num_nodes"]
    finder = ComponentFinder(num_nodes)
    total = {name: np.zeros(size, np.int64) for name, size in num_nodes.items()}
    edges, degrees, components, strengths = {}, [], [], []
    relations = undirected_relations(graph)
    for relation in track(relations, f"describe {snapshot}", len(relations)):
        table = read_edges(graph, snapshot, relation)
        edges[relation] = table.height
        components.append(finder.add(table, relation))
        strengths.append(summarise_strengths(table, relation))
        for node_type, found in in_degrees(table, relation, num_nodes).items():
            total[node_type] += found
            degrees.append(summarise_degrees(node_type, relation.name, found))
    reference = reference_relation(edges, targets)
    return SnapshotDescription(
        snapshot,
        None,
        reference.name if reference else None,
        balance(edges, targets, config.hgnn),
        [*(summarise_degrees(name, None, found) for name, found in total.items()), *degrees],
        [finder.together(), *components],
        strengths,
        *(_noted(graph, key, snapshot) for key in ("users", "users_capped", "pairs_cut")),
    )


def _noted(graph: Batch, key: str, snapshot: str) -> int | None:
    """What the builder noted of a snapshot; None where it did not."""
    found = graph.manifest.metrics.get(key)
    return found.get(snapshot) if isinstance(found, dict) else None
