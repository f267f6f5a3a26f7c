"""The pure-torch neighbour back end: runs on any device torch runs on."""

from __future__ import annotations

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it

from graphkit.hgnn.graph_tensors import InEdges


def max_pool(messages: torch.Tensor, edges: InEdges) -> torch.Tensor:
    """See ``MaxPool``. One fused gather and maximum; nothing of size [num_edges, dim] is made."""
    if len(edges.indices) == 0:  # embedding_bag wants at least one index
        return messages.new_zeros(edges.num_dst, messages.shape[1])
    return F.embedding_bag(edges.indices, messages, edges.indptr[:-1], mode="max")
