"""The DGL neighbour back end: fused CPU kernels over message-flow blocks. Nothing else imports dgl by itself."""

from __future__ import annotations

import os
import sys
import types
import warnings
from importlib import metadata
from typing import Any

import torch

from graphkit.hgnn.graph_tensors import InEdges


def _import_dgl() -> Any:
    """Import DGL without its graphbolt, whose binary is built for torch releases before 2.3.

    graphbolt came with DGL 2; graphkit samples neighbours itself, so a stub in its place is enough.
    """
    os.environ.setdefault("DGLBACKEND", "pytorch")  # or DGL writes a file into the home folder and says so
    if metadata.version("dgl") >= "2":
        sys.modules.setdefault("dgl.graphbolt", types.ModuleType("dgl.graphbolt"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of its own old code, which nobody here can change
        import dgl
    return dgl


dgl = _import_dgl()


def maximum(messages: torch.Tensor, edges: InEdges) -> torch.Tensor:
    """See ``Pooling``."""
    pooled: torch.Tensor = dgl.ops.copy_u_max(_block(messages, edges), messages)
    return pooled.clamp_min(0)  # DGL leaves -inf where a destination has no in-edges


def weighted_sum(messages: torch.Tensor, edges: InEdges, weight: torch.Tensor) -> torch.Tensor:
    """See ``Pooling``."""
    weight = weight.to(messages.dtype)  # DGL multiplies like with like alone
    pooled: torch.Tensor = dgl.ops.u_mul_e_sum(_block(messages, edges), messages, weight[:, None])
    return pooled


def _block(messages: torch.Tensor, edges: InEdges) -> Any:
    csc = (edges.indptr, edges.indices, edges.indices.new_empty(0))
    return dgl.create_block(("csc", csc), num_src_nodes=len(messages), num_dst_nodes=edges.num_dst)
