"""Which in-neighbours a node is drawn: counter-based, so that a draw depends on the key and the node alone.

Every process and back end that draws for a node gets the same neighbours, whatever else it draws for. On a CPU with
numba the same numbers come from a compiled loop.
"""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import torch
from torch import Tensor

_MASK: Final = 2**64 - 1
_NODE: Final = 0x9E3779B97F4A7C15
_COUNT: Final = 0xD1B54A32D192ED03
_MIX_1: Final = 0xBF58476D1CE4E5B9
_MIX_2: Final = 0x94D049BB133111EB


def mix_key(*parts: int) -> int:
    """One 64-bit key of several whole numbers."""
    key = 0
    for part in parts:
        z = (key + _NODE + part * _COUNT) & _MASK
        z = ((z ^ (z >> 30)) * _MIX_1) & _MASK
        z = ((z ^ (z >> 27)) * _MIX_2) & _MASK
        key = z ^ (z >> 31)
    return key


def node_uniform(key: int, nodes: Tensor, count: Tensor) -> Tensor:
    """The ``count``-th number (int64) in [0, 1) of each of ``nodes`` (int64 [n]), by splitmix64: float64, of the
    shape that both broadcast to."""
    z = nodes * _signed(_NODE) + (count * _signed(_COUNT) + _signed(key & _MASK))
    z = (z ^ _shifted(z, 30)) * _signed(_MIX_1)
    z = (z ^ _shifted(z, 27)) * _signed(_MIX_2)
    uniform: Tensor = _shifted(z ^ _shifted(z, 31), 11).double() * 2.0**-53
    return uniform


def in_edge_positions(
    indptr: Tensor, dst: Tensor, fan_out: int, key: int, excluded: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Where at most ``fan_out`` in-edges of each node of ``dst`` [n] stand: (indptr [n + 1], positions [num_drawn]).

    Uniform, without replacement; edges that ``excluded`` (bool [num_edges]) marks then fall out. Both int64.
    """
    loop = _compiled() if dst.device.type == "cpu" else None
    if loop is None:
        return _positions(indptr, dst, fan_out, key, excluded)
    marked = torch.zeros(0, dtype=torch.bool) if excluded is None else excluded
    ends, positions = loop(*(t.numpy() for t in (indptr, dst, marked)), fan_out, key)
    return torch.from_numpy(ends), torch.from_numpy(positions)


def draw_distinct(population: Tensor, count: int, nodes: Tensor, key: int) -> Tensor:
    """``count`` distinct numbers below each of ``population`` [n] (all at least ``count``): int64 [n, count].

    Floyd's algorithm: column i draws below population - count + i + 1 and takes the largest such number if an earlier
    column has what it drew; every subset is equally likely. All columns at once, in few kernels for a GPU.
    """
    column = torch.arange(count, device=population.device)[:, None]
    last = population - count + column  # [count, n]
    drawn = (node_uniform(key, nodes, column) * (last + 1)).long()
    # A number is taken if an earlier column drew it, or if it is the largest of an earlier column, its owner, which
    # took that because what it drew was taken itself.
    taken, owner = _repeated(drawn), drawn - last[0]
    owner = torch.where((owner >= 0) & (owner < column), owner, column)  # no other column's: its own
    for _ in range((count - 1).bit_length()):  # each round follows owners twice as far
        taken, owner = taken | taken.gather(0, owner), owner.gather(0, owner)
    return torch.where(taken, last, drawn).t()


def _repeated(drawn: Tensor) -> Tensor:
    """Whether a number of [count, n] stands in an earlier row of its column, too."""
    ordered, place = drawn.sort(dim=0, stable=True)
    again = torch.zeros_like(drawn, dtype=torch.bool)
    again[1:] = ordered[1:] == ordered[:-1]
    return torch.zeros_like(again).scatter(0, place, again)


def _positions(indptr: Tensor, dst: Tensor, fan_out: int, key: int, excluded: Tensor | None) -> tuple[Tensor, Tensor]:
    start = indptr[dst].long()
    degree = indptr[dst + 1] - start
    ends = _cumulative(degree.clamp_max(fan_out))
    row = torch.repeat_interleave(torch.arange(len(dst), device=dst.device), ends.diff())
    positions = (start - ends[:-1])[row] + torch.arange(len(row), device=dst.device)
    crowded = torch.nonzero(degree > fan_out).flatten()
    places = ends[crowded, None] + torch.arange(fan_out, device=dst.device)
    positions[places] = start[crowded, None] + draw_distinct(degree[crowded], fan_out, dst[crowded], key)
    if excluded is not None and len(excluded):
        kept = ~excluded[positions]
        counts = torch.zeros(len(dst), dtype=torch.int64, device=dst.device).index_add_(0, row, kept.long())
        ends, positions = _cumulative(counts), positions[kept]
    return ends, positions


def _cumulative(counts: Tensor) -> Tensor:
    return torch.cat([counts.new_zeros(1), counts.cumsum(0)])


def _shifted(z: Tensor, by: int) -> Tensor:
    """A logical right shift of int64."""
    shifted: Tensor = (z >> by) & (2 ** (64 - by) - 1)
    return shifted


def _signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number


@cache
def _compiled() -> Any:
    """The compiled loop; None on a machine without a numba that works."""
    try:
        from graphkit.hgnn.draws_compiled import in_edge_positions as loop
    except (ImportError, OSError):
        return None
    return loop
