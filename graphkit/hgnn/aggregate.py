"""Weights of a destination's in-edges, which sum to 1: for a mean, and for attention."""

from __future__ import annotations

from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from graphkit.hgnn.graph_tensors import InEdges
from graphkit.hgnn.parts import linear

_TINY: Final = 1e-12


def mean_weights(edges: InEdges, weight: Tensor | None) -> Tensor:
    """Each edge's share of its destination's ``weight`` (equal shares without): float32 [num_edges]."""
    dst = edges.destinations()
    weight = torch.ones(len(dst), device=dst.device) if weight is None else weight
    return weight / _sum(weight, dst, edges.num_dst)[dst]


class Attention(nn.Module):
    """One head of graph attention (Velickovic et al. 2018, equation 1) over a relation's in-edges.

    The score of an edge is LeakyReLU(a·message + b·own), plus the logarithm of its weight where there is one.
    """

    def __init__(self, dim: int, generator: torch.Generator) -> None:
        super().__init__()
        self.of_source = linear(dim, 1, generator, bias=False)
        self.of_destination = linear(dim, 1, generator, bias=False)

    def forward(self, messages: Tensor, own: Tensor, edges: InEdges, weight: Tensor | None) -> Tensor:
        """``messages`` [num_src, dim], ``own`` [num_dst, dim]: float32 [num_edges], a softmax per destination."""
        dst, src = edges.destinations(), edges.indices.long()
        source, destination = self.of_source(messages)[:, 0], self.of_destination(own)[:, 0]
        score = F.leaky_relu(source[src] + destination[dst], 0.2).float()
        if weight is not None:
            score = score + weight.clamp_min(_TINY).log()
        top = torch.full((edges.num_dst,), -torch.inf, device=score.device)
        top = top.scatter_reduce(0, dst, score.detach(), "amax")
        exp = (score - top[dst]).exp()
        return exp / _sum(exp, dst, edges.num_dst)[dst]


def _sum(values: Tensor, dst: Tensor, num_dst: int) -> Tensor:
    return torch.zeros(num_dst, dtype=values.dtype, device=values.device).index_add(0, dst, values).clamp_min(_TINY)
