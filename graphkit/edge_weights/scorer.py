"""Recommendations along the co-listening graph's edges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from graphkit.evaluation.groups import COLD, WARM
from graphkit.evaluation.peers.rows import sparse_rows
from graphkit.evaluation.recommender import Floats, Ints


@dataclass(frozen=True)
class EdgeScorer:
    """Scores an item by the summed weights of the edges from the user's strong train items, of every type, to it.

    ``likes`` is a sparse 0/1 CSR [num_users, all items], ``columns`` says where each type's items stand in it, and
    ``weights`` holds per (target type, ``warm`` or ``cold``) a sparse CSR [all items, num_items]. A user without a
    strong item of the target type is scored by the cold ones, which were fitted without such items.
    """

    likes: Any
    columns: Mapping[str, slice]
    weights: Mapping[tuple[str, str], Any]
    name: str = "Edge weights"

    def scores(self, users: Ints, item_type: str) -> Floats:
        """Summed weights: float32 [n, num_items], 0 where no edge leads from the user's items."""
        rows = self.likes[users]
        own = self.warm(users, item_type)
        out = np.zeros((len(users), self.weights[item_type, WARM].shape[1]), np.float32)
        for group, members in ((WARM, own), (COLD, ~own)):
            at = np.flatnonzero(members)
            if len(at):
                out[at] = sparse_rows(rows[at], self.weights[item_type, group])
        return out

    def warm(self, users: Ints, item_type: str) -> npt.NDArray[np.bool_]:
        """Which of ``users`` have a strong item of the type: bool [n]."""
        warm: npt.NDArray[np.bool_] = np.diff(self.likes[users][:, self.columns[item_type]].indptr) > 0
        return warm
