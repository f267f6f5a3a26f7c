"""What the model's modules share: module names for types and relations, and how a linear map starts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import torch
from torch import nn

#: The one module of each sort in a layer with shared weights; no type's own name, which starts with ``@``.
_SHARED: Final = "shared"


@dataclass(frozen=True)
class Names:
    """Module names of types and relations: one for all where weights are shared."""

    shared: bool

    def one(self, *parts: str) -> str:
        """The name of the module that serves a type or a relation."""
        return _SHARED if self.shared else module_name(*parts)

    def all(self, named: Iterable[tuple[str, ...]]) -> list[str]:
        """The distinct module names, in order."""
        return list(dict.fromkeys(self.one(*parts) for parts in named))


def module_name(*parts: str) -> str:
    """A module's name: these allow no dot, and no name a dict's method has."""
    return "@" + ">".join(quote(part, safe="").replace(".", "%2E") for part in parts)


def linear(in_dim: int, out_dim: int, generator: torch.Generator, bias: bool = True) -> nn.Linear:
    """A linear map with Xavier weights for a ReLU, drawn from ``generator``, and a zero bias."""
    module = nn.Linear(in_dim, out_dim, bias=bias)
    nn.init.xavier_uniform_(module.weight, nn.init.calculate_gain("relu"), generator)
    if bias:
        nn.init.zeros_(module.bias)
    return module
