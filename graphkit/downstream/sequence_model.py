"""The task-specific user side: a Transformer over the user's latest items (BST, Chen et al. 2019; CLUE, 4.1).

With frozen vectors beside it, it is CLUE's hybrid.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from graphkit.downstream.pair_model import Standardised, VectorSide


class SequenceSide(nn.Module):
    """A vector of each user from the items met last, each a token, after a token that every user has.

    ``latest`` int64 [num_users, length] by moment, oldest first, -1 where there are fewer; ``items`` float32 [num
    items, dim] by moment. ``vectors`` gives the frozen ones, of the output's width.
    """

    def __init__(
        self,
        latest: Mapping[str, Tensor],
        items: Mapping[str, Tensor],
        fitted: str,
        dim: int,
        layers: int,
        out_dim: int,
        vectors: VectorSide | None = None,
    ) -> None:
        super().__init__()
        self.latest, self.item_tables, self.vectors = dict(latest), dict(items), vectors
        self.standardised = Standardised(items[fitted])
        self.token = nn.Linear(items[fitted].shape[1], dim)
        self.place = nn.Parameter(0.02 * torch.randn(latest[fitted].shape[1] + 1, dim))
        layer = nn.TransformerEncoderLayer(dim, 4, 2 * dim, dropout=0.0, batch_first=True, norm_first=True)
        self.transformer = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.out = nn.Linear(dim if vectors is None else dim + out_dim, out_dim)

    def forward(self, moment: str, rows: Tensor) -> Tensor:
        """[n] -> [n, out_dim]."""
        latest = self.latest[moment][rows]  # [n, length]
        tokens = self.token(self.standardised(self.item_tables[moment][latest.clamp(min=0)]))  # [n, length, dim]
        tokens = torch.cat([torch.zeros_like(tokens[:, :1]), tokens], dim=1) + self.place
        nothing = torch.cat([torch.zeros_like(latest[:, :1], dtype=torch.bool), latest < 0], dim=1)
        found: Tensor = self.transformer(tokens, src_key_padding_mask=nothing)[:, 0]
        if self.vectors is not None:
            found = torch.cat([found, self.vectors(moment, rows)], dim=1)
        result: Tensor = self.out(found)
        return result
