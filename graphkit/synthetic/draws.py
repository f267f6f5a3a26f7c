"""Vectorised random draws: weighted members of groups, and rounding that keeps totals."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Groups:
    """Weighted members of groups. Group ``g`` owns the entries ``start[g]:start[g + 1]``."""

    members: Ints  # [entries]
    start: Ints  # [groups + 1]
    cumulative: Floats  # [entries + 1], of the weights

    @classmethod
    def of(cls, group: Ints, members: Ints, weight: Floats, num_groups: int) -> Groups:
        """Groups from parallel arrays, in any order. Each group must have a member."""
        order = np.argsort(group, kind="stable")
        start = np.concatenate([[0], np.cumsum(np.bincount(group, minlength=num_groups))])
        return cls(members[order], start, np.concatenate([[0.0], np.cumsum(weight[order])]))

    def draw(self, rng: np.random.Generator, groups: Ints) -> Ints:
        """One member of each of ``groups`` (any shape), by weight: the same shape."""
        first, last = self.start[groups], self.start[groups + 1] - 1
        low, high = self.cumulative[first], self.cumulative[last + 1]
        at = np.searchsorted(self.cumulative, low + rng.random(groups.shape) * (high - low), side="right") - 1
        return self.members[np.clip(at, first, last)]


def draw_column(rng: np.random.Generator, weight: Floats) -> Ints:
    """One column index a row of ``weight`` [n, k], in proportion to it: [n]."""
    cumulative = np.cumsum(weight, axis=1)
    at = rng.random(len(weight)) * cumulative[:, -1]
    column: Ints = (at[:, None] >= cumulative).sum(axis=1)
    return column.clip(max=weight.shape[1] - 1)


def round_keeping_total(rng: np.random.Generator, expected: Floats) -> Ints:
    """Whole numbers with the means ``expected`` [n] whose sum is that of ``expected``, rounded: [n].

    Systematic sampling: for values in [0, 1] these are draws whose counts over any run of neighbours
    differ from the expected counts by less than one.
    """
    total = round(float(expected.sum()))
    edges = np.minimum(np.floor(np.cumsum(expected) + rng.random()), total).astype(np.int64)
    edges[-1:] = total
    return np.diff(edges, prepend=0)
