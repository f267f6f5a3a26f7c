"""Exact embeddings of whole graphs: layer by layer over all neighbours, no sampling."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, cast

import torch
from torch import Tensor

from graphkit.hgnn.graph_tensors import GraphTensors, InEdges
from graphkit.hgnn.model import HeteroSage, HeteroSageLayer
from graphkit.hgnn.neighbours import MaxPool

#: Nodes worked on at a time: what a layer needs beyond its input, one relation's messages and its output.
BLOCK_NODES: Final = 32_768


@torch.no_grad()
def embed_graph(
    model: HeteroSage, graph: GraphTensors, max_pool: MaxPool, block_nodes: int = BLOCK_NODES
) -> dict[str, Tensor]:
    """Embeddings of every node: float32 [num_nodes, out_dim] per type, of unit length.

    A node without neighbours is embedded from its text alone (paper 4.3, inductive inference).
    """
    h = graph.features
    for k, module in enumerate(model.layers):
        layer = cast(HeteroSageLayer, module)
        out = {t: _in_blocks(partial(layer.transform, t), h[t], block_nodes) for t in graph.types}
        for relation, edges in graph.relations.items():
            messages = _in_blocks(partial(layer.message, relation), h[relation.src], block_nodes)
            _add_pooled(out[relation.dst], messages, edges, max_pool, block_nodes)
        h = {t: _in_blocks(partial(model.activate, k), rows, block_nodes) for t, rows in out.items()}
    return h


def _in_blocks(function: Callable[[Tensor], Tensor], rows: Tensor, block_nodes: int) -> Tensor:
    return torch.cat([function(block) for block in torch.split(rows, block_nodes)])


def _add_pooled(out: Tensor, messages: Tensor, edges: InEdges, max_pool: MaxPool, block_nodes: int) -> None:
    for start in range(0, edges.num_dst, block_nodes):
        indptr = edges.indptr[start : start + block_nodes + 1]
        indices = edges.indices[int(indptr[0]) : int(indptr[-1])]
        out[start : start + block_nodes] += max_pool(messages, InEdges((indptr - indptr[0]).int(), indices))
