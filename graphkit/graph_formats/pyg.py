"""PyTorch Geometric: one ``HeteroData``."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch

from graphkit.graph_formats.source import GraphSource, edge_counts, edge_ends


def _hetero_data() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own use of what torch has deprecated
        from torch_geometric.data import HeteroData
    return HeteroData()


def write(source: GraphSource, path: Path) -> dict[str, int]:
    """Edge types are (source type, kind, destination type); nodes have ``x``, edges ``edge_weight``.

    Read with ``torch.load(path, weights_only=False)``: this format is a pickle. Returns the edges per directed
    relation.
    """
    graph, data = source.read(), _hetero_data()
    for node_type, count in graph.num_nodes.items():
        data[node_type].num_nodes = count
        if node_type in graph.features:
            data[node_type].x = torch.from_numpy(graph.features[node_type])
    for relation, csc in graph.relations.items():
        edges = data[tuple(relation)]
        edges.edge_index = torch.from_numpy(np.stack(edge_ends(csc)))
        edges.edge_weight = torch.from_numpy(csc.weight)
    data.origin = source.origin
    torch.save(data, path)
    return edge_counts(graph)


_hetero_data()  # a missing package shows when this module is imported, not after the graph has been read
