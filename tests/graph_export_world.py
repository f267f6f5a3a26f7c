"""A workspace with a little graph of everything a graph may hold, for the tests of its export."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from graphkit.artefacts import StageSpec, Workspace
from graphkit.config import load_config
from graphkit.datasets.store import DatasetMeta, write_meta
from graphkit.graph.store import (
    CO_LISTENING,
    LISTENING,
    PLAYLIST,
    SNAPSHOTS,
    Relation,
    edge_table,
    save_about,
    save_csc,
)
from tests.hgnn_graphs import csc

CONFIG = load_config("default", [])
#: A type with a colon in its name, and one without a single edge.
NUM_ITEMS = {"book": 4, "pod:cast": 3, "song": 2}
NUM_USERS = 3
TITLES = [None, "Ünder <the> \"sea\" & 'sky' 🎧", "a bell \x07 rings", "plain\ttitle"]
RELATIONS = (
    Relation("book", CO_LISTENING, "book"),
    Relation("book", CO_LISTENING, "pod:cast"),
    Relation("book", PLAYLIST, "pod:cast"),
    Relation("pod:cast", PLAYLIST, "pod:cast"),
    Relation("user", LISTENING, "book"),
)


class Edge(NamedTuple):
    """A directed edge between node numbers."""

    relation: Relation
    src: int
    dst: int


Edges = dict[Edge, float]  # with their weights


def own_id(node_type: str, node: int) -> str:
    """Ids start from 10 downwards, so that no order of ids is that of the nodes; user ids hold a colon."""
    return f"u:{10 - node}" if node_type == "user" else f"id-{10 - node}"


def name(node_type: str, node: int) -> str:
    return f"{node_type.replace(':', '%3A')}:{own_id(node_type, node)}"


def write_workspace(root: Path, seed: int = 0) -> dict[str, Edges]:
    """Write dataset and graph; returns each snapshot's edges. The last relation has none in ``fit``."""
    workspace = Workspace(root)
    rng = np.random.default_rng(seed)
    _write_dataset(workspace)
    tables = {
        snapshot: {r: _edge_table(rng, r, empty=snapshot == "fit" and r == RELATIONS[-1]) for r in RELATIONS}
        for snapshot in SNAPSHOTS
    }
    edges = {snapshot: _directed(of_it) for snapshot, of_it in tables.items()}
    num_nodes = {**NUM_ITEMS, "user": NUM_USERS}
    with workspace.begin(StageSpec.of("graph", CONFIG, [workspace.current("dataset")])) as work:
        for snapshot, of_it in tables.items():
            for relation, table in of_it.items():
                table.write_parquet(work.path(edge_table(snapshot, relation)))
                for way in {relation, relation.reverse}:
                    found = {(e.src, e.dst): w for e, w in edges[snapshot].items() if e.relation == way}
                    stored = csc(list(found), num_nodes[way.dst])
                    in_order = sorted(found, key=lambda ends: ends[::-1])
                    stored.weight[:] = [found[ends] for ends in in_order]
                    save_csc(work.folder, snapshot, way, stored)
        save_about(work.folder, num_nodes, list(RELATIONS), features(), {})
        work.commit()
    return edges


def features() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(9)
    return {t: rng.standard_normal((n, 5)).astype(np.float32) for t, n in NUM_ITEMS.items()}


def _edge_table(rng: np.random.Generator, relation: Relation, empty: bool) -> pl.DataFrame:
    """About half of all pairs, each in one direction or in both."""
    sizes = {**NUM_ITEMS, "user": NUM_USERS}
    pairs = [
        (s, d)
        for s in range(sizes[relation.src])
        for d in range(s + 1 if relation.same_type else 0, sizes[relation.dst])
        if rng.random() < 0.6 and not empty
    ]
    way = rng.integers(3, size=len(pairs))
    columns = {
        "src": [s for s, _ in pairs], "dst": [d for _, d in pairs], "support": [1] * len(pairs),
        "weight": rng.random(len(pairs)), "at_src": way != 0, "at_dst": way != 1,
    }  # fmt: skip
    types = {"src": pl.UInt32, "dst": pl.UInt32, "support": pl.UInt32, "weight": pl.Float32}
    return pl.DataFrame(columns, schema={**types, "at_src": pl.Boolean, "at_dst": pl.Boolean})


def _directed(tables: dict[Relation, pl.DataFrame]) -> Edges:
    edges: Edges = {}
    for relation, table in tables.items():
        for src, dst, _, weight, at_src, at_dst in table.iter_rows():
            if at_dst:
                edges[Edge(relation, src, dst)] = weight
            if at_src:
                edges[Edge(relation.reverse, dst, src)] = weight
    return edges


def _write_dataset(workspace: Workspace) -> None:
    with workspace.begin(StageSpec.of("dataset", CONFIG)) as work:
        items = [
            {"item_type": t, "item": i, "item_id": own_id(t, i), "title": TITLES[i]}
            for t, n in NUM_ITEMS.items()
            for i in range(n)
        ]
        pl.DataFrame(items, schema_overrides={"item": pl.UInt32}).write_parquet(work.path("items.parquet"))
        users = [{"user": u, "user_id": own_id("user", u)} for u in range(NUM_USERS)]
        pl.DataFrame(users, schema_overrides={"user": pl.UInt32}).write_parquet(work.path("users.parquet"))
        types = tuple(NUM_ITEMS)
        facts = {"name": "everything", "types": types, "targets": types, "strong": ("stream",), "split": "none"}
        write_meta(work.folder, DatasetMeta(**facts, num_users=NUM_USERS, num_items=NUM_ITEMS))
        work.commit()
