"""DGL: one heterogeneous graph in DGL's own file format."""

from __future__ import annotations

from pathlib import Path

import torch

from graphkit.graph_formats.source import GraphSource, edge_counts, edge_ends
from graphkit.hgnn.neighbours_dgl import dgl


def write(source: GraphSource, path: Path) -> dict[str, int]:
    """Edge types are (source type, kind, destination type); nodes have ``text``, edges ``weight``.

    Read with ``dgl.load_graphs``. Returns the edges per directed relation.
    """
    graph = source.read()
    ends = {tuple(r): tuple(map(torch.from_numpy, edge_ends(csc))) for r, csc in graph.relations.items()}
    exported = dgl.heterograph(ends, num_nodes_dict=graph.num_nodes)
    for node_type, vectors in graph.features.items():
        exported.nodes[node_type].data["text"] = torch.from_numpy(vectors)
    for relation, csc in graph.relations.items():
        exported.edges[tuple(relation)].data["weight"] = torch.from_numpy(csc.weight)
    dgl.save_graphs(str(path), [exported])
    return edge_counts(graph)
