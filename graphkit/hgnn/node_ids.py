"""Learned vectors of single nodes, beside what a node's text says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from graphkit.hgnn.parts import module_name

#: Standard deviation of the vectors at the start.
_START: Final = 0.1


class NodeIds(nn.Module):
    """A vector per known node, added to its input; nothing is added for an unknown one.

    Training hides a share of the ids, so that a node the model never saw is embedded from its text and neighbours as
    well as it can be. A node without a link to train on stays unknown, or its vector would be what chance and being
    a negative made of it.
    """

    def __init__(self, num_ids: Mapping[str, int], dim: int, generator: torch.Generator) -> None:
        super().__init__()
        start = {t: torch.randn(n, dim, generator=generator) * _START for t, n in num_ids.items()}
        self.tables = nn.ParameterDict({module_name(t): nn.Parameter(vectors) for t, vectors in start.items()})
        for t, n in num_ids.items():
            self.register_buffer(_known(t), torch.ones(n, dtype=torch.bool))

    def know(self, linked: Mapping[str, Tensor]) -> None:
        """Tell which nodes have a link to train on: bool [num_ids] per type."""
        for node_type, known in linked.items():
            if module_name(node_type) in self.tables:
                self.get_buffer(_known(node_type)).copy_(known)

    def forward(self, node_type: str, h: Tensor, ids: Tensor) -> Tensor:
        """``h`` [n, dim] plus the vectors of ``ids`` (int64 [n]); -1, or a number past the table, is unknown."""
        name = module_name(node_type)
        if name not in self.tables:
            return h
        table = self.tables[name]
        there = (ids >= 0) & (ids < len(table))
        row = torch.where(there, ids, 0)
        known = there & self.get_buffer(_known(node_type))[row]
        return h + F.embedding(row, table) * known[:, None]


def _known(node_type: str) -> str:
    return f"known{module_name(node_type)}"
