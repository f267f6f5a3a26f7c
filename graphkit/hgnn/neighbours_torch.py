"""The pure-torch neighbour back end: runs on any device torch runs on."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it

from graphkit.hgnn.graph_tensors import InEdges


def maximum(messages: torch.Tensor, edges: InEdges) -> torch.Tensor:
    """See ``Pooling``. One fused gather and maximum; nothing of size [num_edges, dim] is made."""
    return _bag(messages, edges, "max")


def weighted_sum(messages: torch.Tensor, edges: InEdges, weight: torch.Tensor) -> torch.Tensor:
    """See ``Pooling``."""
    return _bag(messages, edges, "sum", weight)


def _bag(messages: torch.Tensor, edges: InEdges, mode: str, weight: torch.Tensor | None = None) -> torch.Tensor:
    if len(edges.indices) == 0:  # embedding_bag wants at least one index
        return messages.new_zeros(edges.num_dst, messages.shape[1])
    offsets = edges.indptr[:-1].to(edges.indices.dtype)
    pooled = F.embedding_bag(edges.indices, messages.float(), offsets, mode=mode, per_sample_weights=weight)
    return pooled.to(messages.dtype)  # float32 in between: on a GPU half precision has no gradient
