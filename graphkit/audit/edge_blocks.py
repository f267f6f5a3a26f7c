"""The stored edges of a graph batch, block by block: the tables that people read and the in-edges that train."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
from safetensors import safe_open

from graphkit.artefacts import Batch
from graphkit.errors import ArtefactError
from graphkit.graph.store import Relation, edge_table, read_about

_BLOCK_EDGES: Final = 1_000_000

Ints = npt.NDArray[np.int64]


class EdgeBlock(NamedTuple):
    """Some edges of one file; ``support`` is None where the file does not hold it."""

    relation: Relation
    file: str
    src: Ints  # [n]
    dst: Ints  # [n]
    support: Ints | None  # [n]


def edge_blocks(graph: Batch, snapshot: str, relation: Relation) -> Iterator[EdgeBlock]:
    """Every stored edge of an undirected relation: its table, then the in-edges of both directions.

    Raises ArtefactError for an edge that points outside of the catalogue.
    """
    num_nodes: dict[str, int] = read_about(graph)["num_nodes"]
    yield from (_checked(graph, block, num_nodes) for block in _table(graph, snapshot, relation))
    for directed in dict.fromkeys((relation, relation.reverse)):
        yield from (_checked(graph, block, num_nodes) for block in _in_edges(graph, snapshot, directed))


def _table(graph: Batch, snapshot: str, relation: Relation) -> Iterator[EdgeBlock]:
    file = edge_table(snapshot, relation)
    rows = pl.scan_parquet(graph.path(file)).select("src", "dst", "support")
    height = rows.select(pl.len()).collect().item()
    for start in range(0, height, _BLOCK_EDGES):
        block = rows.slice(start, _BLOCK_EDGES).collect()
        src, dst, support = (block[name].to_numpy().astype(np.int64) for name in block.columns)
        yield EdgeBlock(relation, file, src, dst, support)


def _in_edges(graph: Batch, snapshot: str, relation: Relation) -> Iterator[EdgeBlock]:
    file = f"csc/{snapshot}/{relation.file_stem}.safetensors"
    with safe_open(graph.path(file), framework="numpy") as tensors:
        indptr: Ints = tensors.get_tensor("indptr").astype(np.int64)
        indices = tensors.get_slice("indices")
        for start in range(0, int(indptr[-1]), _BLOCK_EDGES):
            stop = min(start + _BLOCK_EDGES, int(indptr[-1]))
            # An edge at place k belongs to the last destination whose edges start at or before k.
            dst = np.searchsorted(indptr, np.arange(start, stop), side="right") - 1
            yield EdgeBlock(relation, file, indices[start:stop].astype(np.int64), dst, None)


def _checked(graph: Batch, block: EdgeBlock, num_nodes: dict[str, int]) -> EdgeBlock:
    for node_type, nodes in ((block.relation.src, block.src), (block.relation.dst, block.dst)):
        if len(nodes) and not 0 <= nodes.min() <= nodes.max() < num_nodes[node_type]:
            raise ArtefactError(
                "an edge points outside of the catalogue",
                where=str(graph.path(block.file)),
                expected=f"{node_type} below {num_nodes[node_type]}",
                found=f"{node_type} {nodes.max()}",
                fix="run `graphkit build-graph` again",
            )
    return block
