"""The edge weights: each joins two items that a user shares in train rows before the cut-off."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from safetensors import safe_open

from graphkit.audit.edge_counts import edge_count
from graphkit.audit.edge_rows import StrongRows
from graphkit.audit.explain import missing_row
from graphkit.audit.finding import Check, Facts, Outcome
from graphkit.audit.pairs import Ints
from graphkit.audit.run import AuditedRun, Period
from graphkit.bundle_format import EDGES_FILE
from graphkit.graph.store import CO_LISTENING, Relation

#: Weights looked at together.
_BLOCK: Final = 1_000_000


def weights_of_shared_items(run: AuditedRun) -> Outcome:
    """Every weight but zero joins two items that at least one user has in strong train rows before the cut-off."""
    rows = StrongRows(run, Period(None, run.meta.cutoff))
    count = edge_count(rows, CO_LISTENING)
    checked = 0
    with safe_open(run.batches["edges"].path(EDGES_FILE), framework="numpy") as tensors:
        for name in sorted(n.removesuffix("/weights") for n in tensors.keys() if n.endswith("/weights")):  # noqa: SIM118  (it is no mapping)
            target = name.rpartition("/")[0]
            for source_type, src, dst, weight in _blocks(tensors, name, run.meta.num_items):
                relation = Relation(source_type, CO_LISTENING, target)
                stray = np.flatnonzero((weight != 0) & (count(relation, src, dst) == 0))
                if len(stray):
                    at = int(stray[0])
                    edge = _stray(rows, relation, int(src[at]), int(dst[at]))
                    return Outcome(checked + at + 1, {"weights": name} | edge)
                checked += len(weight)
    return Outcome(checked)


def _blocks(
    tensors: Any, name: str, num_items: dict[str, int]
) -> Iterator[tuple[str, Ints, Ints, npt.NDArray[np.float32]]]:
    """The stored edges, some at a time: type and number of their sources, their targets and their weights."""
    indptr = tensors.get_tensor(f"{name}/indptr").astype(np.int64)
    indices, weights = (tensors.get_slice(f"{name}/{part}") for part in ("indices", "weights"))
    first = 0
    for source_type, size in num_items.items():
        last = first + size
        for start in range(int(indptr[first]), int(indptr[last]), _BLOCK):
            stop = min(start + _BLOCK, int(indptr[last]))
            # An edge at place k leads from the last source whose edges start at or before k.
            source = np.searchsorted(indptr, np.arange(start, stop), side="right") - 1
            yield source_type, source - first, indices[start:stop].astype(np.int64), weights[start:stop]
        first = last


def _stray(rows: StrongRows, relation: Relation, src: int, dst: int) -> Facts:
    run = rows.run
    row = missing_row(rows, relation, src, dst)
    why = f"a weight between items that no user shares in strong train rows of {rows.period}"
    why += "; the row named is outside of it" if row else "; no row of the dataset explains it"
    edge = {
        "relation": relation.name,
        "src": run.item_id(relation.src, src),
        "dst": run.item_id(relation.dst, dst),
    }
    return edge | row | {"stored_in": str(run.batches["edges"].path(EDGES_FILE)), "why": why}


CHECKS = (
    Check("edges", "weights join items shared in train rows before the cut-off", "edges", weights_of_shared_items),
)
