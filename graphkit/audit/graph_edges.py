"""The graph: windows that end in time, and edges that rest on the rows inside them."""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Final

import numpy as np
import polars as pl

from graphkit import schemas
from graphkit.audit.edge_blocks import EdgeBlock, edge_blocks
from graphkit.audit.edge_counts import edge_count
from graphkit.audit.edge_rows import EdgeRows, snapshot_period
from graphkit.audit.explain import missing_row
from graphkit.audit.finding import Check, Facts, Outcome
from graphkit.audit.run import AuditedRun, iso
from graphkit.graph.store import (
    CO_LISTENING,
    LISTENING,
    PLAYLIST,
    SNAPSHOTS,
    USER_NODE,
    Relation,
    read_about,
    undirected_relations,
)

_OWNERS: Final = {CO_LISTENING: "users", PLAYLIST: "playlists", LISTENING: "listeners"}


def windows_end_in_time(run: AuditedRun) -> Outcome:
    """The windows that the builder noted are those that the dataset and the settings give."""
    graph = run.batches["graph"]
    if run.meta.cutoff is None:
        return Outcome(skipped="without timestamps the windows have no ends")
    noted = {"graph.json": read_about(graph).get("windows", {}), "manifest.json": graph.manifest.data_window}
    for snapshot in SNAPSHOTS:
        period = snapshot_period(run, snapshot)
        for edge, allowed in (("start", period.start), ("end", period.end)):
            for file, window in noted.items():
                stated = window.get(f"{snapshot}_{edge}")
                if _moment(stated) != allowed:
                    why = f"the {snapshot} window is said to {edge} at {stated}; {iso(allowed)} is what it may"
                    return Outcome(len(SNAPSHOTS), {"file": str(graph.path(file)), "why": why})
    return Outcome(len(SNAPSHOTS))


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def edges_rest_on_rows(run: AuditedRun, snapshot: str, kind: str) -> Outcome:
    """Every edge rests on at least one user (playlist), and on as many as its ``support`` says, of the train rows
    inside its window.

    Caps, gaps, minimum seconds and pruning only ever take away, so a support above the plain count needs a row
    from outside.
    """
    graph = run.batches["graph"]
    relations = [relation for relation in undirected_relations(graph) if relation.kind == kind]
    if not relations:
        return Outcome(skipped=f"the graph has no {kind} relation")
    if kind == PLAYLIST and (timed := _times_of_playlists(run)) is not None:
        return Outcome(first=timed)
    rows = EdgeRows(run, snapshot_period(run, snapshot))
    count = edge_count(rows, kind)
    checked = 0
    for relation in relations:
        for block in edge_blocks(graph, snapshot, relation):
            shared = count(block.relation, block.src, block.dst)
            claimed = np.ones_like(shared) if block.support is None else np.maximum(block.support, 1)
            wrong = np.flatnonzero(claimed > shared)
            if len(wrong):
                at = int(wrong[0])
                return Outcome(checked + at + 1, _offender(rows, block, at, int(shared[at])))
            checked += len(shared)
    return Outcome(checked)


def _times_of_playlists(run: AuditedRun) -> Facts | None:
    file = run.batches["dataset"].path(schemas.PLAYLISTS_FILE)
    timed = [name for name, dtype in pl.scan_parquet(file).collect_schema().items() if dtype.is_temporal()]
    why = "playlists with a time: whether they were there before the cut-off is not looked at"
    return {"file": str(file), "column": timed[0], "why": why} if timed else None


def _offender(rows: EdgeRows, block: EdgeBlock, at: int, shared: int) -> Facts:
    run, relation, src, dst = rows.run, block.relation, int(block.src[at]), int(block.dst[at])
    stated = "an edge" if block.support is None else f"support {int(block.support[at])}"
    why = f"{stated} that {shared} {_OWNERS[relation.kind]} of the window {rows.period} explain"
    row: Facts = {}
    if relation.kind != PLAYLIST:
        row = missing_row(rows, relation, src, dst)
        why += "; the row named is outside of it" if row else "; no row of the dataset explains the rest"
    edge = {"relation": relation.name, "src": _node(run, relation, src, 0), "dst": _node(run, relation, dst, 1)}
    return edge | row | {"edge_file": str(run.batches["graph"].path(block.file)), "why": why}


def _node(run: AuditedRun, relation: Relation, node: int, end: int) -> str | None:
    node_type = (relation.src, relation.dst)[end]
    is_user = relation.kind == LISTENING and node_type == USER_NODE
    return run.user_id(node) if is_user else run.item_id(node_type, node)


CHECKS = (
    Check("graph", "windows end at the label period and the cut-off", "windows", windows_end_in_time),
    *(
        Check(
            "graph",
            f"{snapshot}: {kind} edges rest on {'untimed playlists' if kind == PLAYLIST else 'rows before its end'}",
            "edges",
            partial(edges_rest_on_rows, snapshot=snapshot, kind=kind),
        )
        for snapshot in SNAPSHOTS
        for kind in (CO_LISTENING, PLAYLIST, LISTENING)
    ),
)
