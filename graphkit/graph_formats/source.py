"""What every format is written from: one snapshot of a graph batch, and what its nodes are called outside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.artefacts import Batch, Workspace
from graphkit.datasets.store import Dataset
from graphkit.errors import ArtefactError
from graphkit.graph.store import (
    USER_NODE,
    CoListeningGraph,
    Csc,
    edge_table,
    read_about,
    read_graph,
    undirected_relations,
)
from graphkit.stages import STAGES

Ints = npt.NDArray[np.int64]
#: Not ``id``: that is what NetworkX calls a node's key.
EXTERNAL_ID: Final = "external_id"


@dataclass(frozen=True)
class GraphSource:
    """One snapshot of a graph batch, and the dataset it was built from."""

    batch: Batch
    snapshot: str
    dataset: Dataset

    @property
    def num_nodes(self) -> dict[str, int]:
        counts: dict[str, int] = read_about(self.batch)["num_nodes"]
        return counts

    @property
    def origin(self) -> dict[str, str]:
        """Where an exported graph comes from, to be kept with it."""
        return {"dataset": self.dataset.meta.name, "graph_batch": self.batch.id, "snapshot": self.snapshot}

    def num_edges(self) -> int:
        """Edges, those of both directions counted once; known without reading them."""
        tables = [self.batch.path(edge_table(self.snapshot, r)) for r in undirected_relations(self.batch)]
        return sum(int(pl.scan_parquet(table).select(pl.len()).collect().item()) for table in tables)

    def read(self) -> CoListeningGraph:
        """The snapshot, all of it in memory."""
        return read_graph(self.batch, self.snapshot)

    def nodes(self, node_type: str) -> pl.DataFrame:
        """``external_id`` str (as in the logs) and ``title`` str or null of a type's nodes, in the graph's order.

        Raises ArtefactError where their number is not the graph's.
        """
        is_user = node_type == USER_NODE and node_type not in self.dataset.meta.types
        table = self.dataset.users() if is_user else self.dataset.items(node_type)
        own_id = schemas.USER_ID if is_user else schemas.ITEM_ID
        title = pl.lit(None, pl.String) if is_user else pl.col(schemas.TITLE)
        if table.height != self.num_nodes[node_type]:
            raise ArtefactError(
                f"the graph's {node_type} nodes are not those of its dataset",
                where=str(self.batch.folder),
                expected=f"{table.height} nodes",
                found=f"{self.num_nodes[node_type]} nodes",
                fix=f"run `{STAGES['graph'].command}` again",
            )
        return table.sort(schemas.USER if is_user else schemas.ITEM).select(
            pl.col(own_id).alias(EXTERNAL_ID), title.alias("title")
        )

    def names(self, node_type: str) -> pl.Series:
        """``type:id`` of every node of a type; a colon (or %) of the type's own name stands as %3A (%25)."""
        prefix = node_type.replace("%", "%25").replace(":", "%3A")
        return self.nodes(node_type).select(pl.concat_str(pl.lit(f"{prefix}:"), EXTERNAL_ID)).to_series()


def open_source(workspace: Workspace, snapshot: str) -> GraphSource:
    """The current graph with the dataset it was built from; raises ArtefactError where one is not there."""
    graph = workspace.current("graph")
    dataset_id = graph.manifest.upstream["dataset"]
    folder = workspace.stage_dir("dataset") / dataset_id
    if not folder.is_dir():
        raise ArtefactError(
            "the dataset that the current graph was built from is no longer there",
            where=str(workspace.root),
            expected=f"dataset batch {dataset_id}, which knows the nodes' ids and titles",
            fix=f"run `{STAGES['graph'].command}` again",
        )
    return GraphSource(graph, snapshot, Dataset.open(Batch.open(folder)))


def edge_ends(csc: Csc) -> tuple[Ints, Ints]:
    """(source, destination) of every edge, by destination, then source: int64 [num_edges] each."""
    destinations = np.repeat(np.arange(len(csc.indptr) - 1, dtype=np.int64), np.diff(csc.indptr))
    return csc.indices.astype(np.int64), destinations


def edge_counts(graph: CoListeningGraph) -> dict[str, int]:
    """Edges per directed relation, by its name."""
    return {relation.name: len(csc.indices) for relation, csc in graph.relations.items()}


def node_table(source: GraphSource) -> pl.DataFrame:
    """``type``, ``node`` (its number in the exported graph), ``external_id`` and ``title`` of every node."""
    numbered = [(t, source.nodes(t).with_row_index("node")) for t in source.num_nodes]
    return pl.concat([rows.select(pl.lit(t).alias("type"), "node", EXTERNAL_ID, "title") for t, rows in numbered])
