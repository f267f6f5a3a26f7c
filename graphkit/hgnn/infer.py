"""Exact embeddings of whole graphs: layer by layer over all neighbours, no sampling."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, cast

import torch
from torch import Tensor

from graphkit.hgnn.graph_tensors import GraphTensors
from graphkit.hgnn.model import HeteroSage, HeteroSageLayer
from graphkit.hgnn.neighbours import Pooling

#: Nodes worked on at a time: what a layer needs beyond its input, one relation's messages and its output.
BLOCK_NODES: Final = 32_768


@torch.no_grad()
def embed_graph(
    model: HeteroSage,
    graph: GraphTensors,
    pooling: Pooling,
    ids: Mapping[str, Tensor] | None = None,
    block_nodes: int = BLOCK_NODES,
) -> dict[str, Tensor]:
    """Embeddings of every node: float32 [num_nodes, out_dim] per type, of unit length.

    A node without neighbours is embedded from its text alone (paper 4.3, inductive inference); one past those
    that the model was trained on has no learned vector of its own. ``ids`` (int64 [num_nodes] per type) are the
    nodes' numbers in training, where they are not those of ``graph``.
    """
    blocks = partial(_in_blocks, block_nodes=block_nodes)
    numbers = ids or {t: torch.arange(n, device=graph.device) for t, n in graph.num_nodes.items()}
    stages = [{t: blocks(partial(model.enter, t), graph.features[t], numbers[t]) for t in graph.types}]
    for k, module in enumerate(model.layers):
        h = _layer(cast(HeteroSageLayer, module), graph, stages[-1], pooling, block_nodes)
        h = {t: blocks(partial(model.activate, k), rows) for t, rows in h.items()}
        stages = [*stages, h] if model.shape.jumping else [h]
    return {t: blocks(lambda *h, t=t: model.leave(t, h), *(stage[t] for stage in stages)) for t in graph.types}


def _layer(
    layer: HeteroSageLayer, graph: GraphTensors, h: dict[str, Tensor], pooling: Pooling, block_nodes: int
) -> dict[str, Tensor]:
    own = {t: _in_blocks(partial(layer.transform, t), h[t], block_nodes=block_nodes) for t in graph.types}
    # Attention looks at a node's own part, so the sum must not be made in its place.
    out = {t: rows.clone() for t, rows in own.items()} if layer.attention else own
    for r, edges in graph.relations.items():
        messages = _in_blocks(partial(layer.message, r), h[r.src], block_nodes=block_nodes)
        for start in range(0, edges.num_dst, block_nodes):
            rows = slice(start, start + block_nodes)
            some = edges.rows(start, min(start + block_nodes, edges.num_dst))
            out[r.dst][rows] += layer.pool(r, messages, own[r.dst][rows], some, pooling)
    return out


def _in_blocks(function: Callable[..., Tensor], *rows: Tensor, block_nodes: int) -> Tensor:
    return torch.cat([function(*block) for block in zip(*(torch.split(r, block_nodes) for r in rows), strict=True)])
