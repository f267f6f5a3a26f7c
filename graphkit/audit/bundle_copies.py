"""The bundle's copies: of files, ids and edges that are audited where they were made."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import polars as pl
from safetensors import safe_open

from graphkit import bundle_format as files
from graphkit import schemas
from graphkit.audit.finding import Check, Facts, Outcome
from graphkit.audit.pairs import Ints, pair_keys
from graphkit.audit.run import AuditedRun
from graphkit.graph.store import CO_LISTENING, SERVE, Csc, Relation, read_relation, undirected_relations

#: Files that the bundle takes over as they are, if the stage has them.
_COPIED: Final = {
    files.EDGES_FILE: "edges",
    files.FEATURES_FILE: "towers",
    files.REPLAY_FILE: "towers",
    files.ITEM_VECTORS_FILE: "towers",
    files.POOLED_VECTORS_FILE: "towers",
    files.INPUT_VECTORS_FILE: "towers",
}


def copies_are_the_stages_files(run: AuditedRun) -> Outcome:
    """Each file that the bundle takes over has the hash that its stage's manifest states."""
    bundle, checked = run.batches["bundle"], 0
    for file, stage in _COPIED.items():
        expected, found = (batch.manifest.files.get(file) for batch in (run.batches[stage], bundle))
        checked += expected is not None
        if expected != found:
            why = f"it is not the file of the {stage} batch {run.batches[stage].id}"
            return Outcome(checked, {"file": str(bundle.path(file)), "why": why})
    return Outcome(checked)


def ids_are_the_datasets(run: AuditedRun) -> Outcome:
    """Every user and item has the row in the bundle that it has in the dataset."""
    checked = 0
    for table, stored, columns in (
        (schemas.USERS_FILE, files.USERS_FILE, [schemas.USER, schemas.USER_ID]),
        (schemas.ITEMS_FILE, files.ITEMS_FILE, [schemas.ITEM_TYPE, schemas.ITEM, schemas.ITEM_ID]),
    ):
        path = run.batches["bundle"].path(stored)
        expected = pl.read_parquet(run.batches["dataset"].path(table), columns=columns).select(columns)
        found = pl.read_parquet(path, columns=columns).select(columns)
        stray = found.join(expected, on=columns, how="anti").sort(columns)
        checked += found.height
        if stray.height or found.height != expected.height:
            row: Facts = stray.row(0, named=True) if stray.height else {}
            why = "no such row in the dataset" if stray.height else f"{found.height} of {expected.height} rows"
            return Outcome(checked, row | {"file": str(path), "why": why})
    return Outcome(checked)


def neighbours_are_edges(run: AuditedRun) -> Outcome:
    """Every stored neighbour is one in the ``serve`` graph, whose edges are audited, and by the same weight."""
    path, graph, checked = run.batches["bundle"].path(files.ADJACENCY_FILE), run.batches["graph"], 0
    known = {way for relation in undirected_relations(graph) for way in (relation, relation.reverse)}
    with safe_open(path, framework="numpy") as tensors:
        for name in sorted(key.removesuffix("/indptr") for key in tensors.keys() if key.endswith("/indptr")):  # noqa: SIM118  (it is no mapping)
            item_type, _, neighbours = name.partition("/")
            relation = Relation(neighbours, CO_LISTENING, item_type)
            if relation not in known:
                why = "the graph has no such relation"
                return Outcome(checked + 1, {"relation": relation.name, "stored_in": str(path), "why": why})
            stored = Csc(*(tensors.get_tensor(f"{name}/{part}") for part in ("indptr", "indices", "weights")))
            first = _first_stray(stored, read_relation(graph, SERVE, relation), run.meta.num_items[neighbours])
            if first is not None:
                row = _edge(run, relation, stored, first)
                return Outcome(checked + first + 1, row | {"stored_in": str(path)})
            checked += len(stored.indices)
    return Outcome(checked)


def _first_stray(stored: Csc, edges: Csc, num_sources: int) -> int | None:
    """The place of the first stored neighbour that is no in-edge of its node, or of another weight."""
    known, wanted = (pair_keys(_nodes(csc), csc.indices.astype(np.int64), num_sources) for csc in (edges, stored))
    order = np.argsort(known, kind="stable")
    at = np.minimum(np.searchsorted(known[order], wanted), max(len(known) - 1, 0))
    if not len(known):
        return 0 if len(wanted) else None
    same = (known[order][at] == wanted) & (edges.weight[order][at] == stored.weight)
    stray = np.flatnonzero(~same)
    return int(stray[0]) if len(stray) else None


def _nodes(csc: Csc) -> Ints:
    return np.repeat(np.arange(len(csc.indptr) - 1), np.diff(csc.indptr))


def _edge(run: AuditedRun, relation: Relation, stored: Csc, place: int) -> Facts:
    ends: dict[str, Any] = {
        "item": run.item_id(relation.dst, int(_nodes(stored)[place])),
        "neighbour": run.item_id(relation.src, int(stored.indices[place])),
    }
    why = f"the serve graph has no such edge of weight {stored.weight[place]:.6g}"
    return {"relation": relation.name} | ends | {"why": why}


CHECKS = (
    Check("bundle", "its copies are the files of the stages", "files", copies_are_the_stages_files),
    Check("bundle", "its ids are the dataset's", "ids", ids_are_the_datasets),
    Check("bundle", "neighbours are edges of the serve graph", "edges", neighbours_are_edges),
)
