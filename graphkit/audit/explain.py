"""The row outside of a window that an edge too many must have come from."""

from __future__ import annotations

import polars as pl

from graphkit import schemas
from graphkit.audit.edge_rows import EdgeRows
from graphkit.audit.finding import Facts
from graphkit.audit.run import future_first
from graphkit.graph.store import LISTENING, USER_NODE, Relation


def missing_row(rows: EdgeRows, relation: Relation, src: int, dst: int) -> Facts:
    """The first row from outside (test rows and later ones first) that would give the edge one user more; empty
    where there is none."""
    if relation.kind == LISTENING:
        user, item_type, item = (src, relation.dst, dst) if relation.src == USER_NODE else (dst, relation.src, src)
        of_pair = is_item(item_type, item) & (pl.col(schemas.USER) == user)
        return rows.run.outside(rows.period, rows.signals(item_type), of_pair) or {}
    ends = {"one": is_item(relation.src, src), "other": is_item(relation.dst, dst)}
    inside = (ends["one"] & rows.hold(relation.src)) | (ends["other"] & rows.hold(relation.dst))
    met = rows.run.rows().filter(ends["one"] | ends["other"])
    users = met.group_by(schemas.USER).agg(
        *(end.any().alias(name) for name, end in ends.items()),
        *((end & inside).any().alias(f"{name}_inside") for name, end in ends.items()),
    )
    # Users who met both, but not both inside: what they lack inside is what was let in.
    let_in = met.filter(~inside).join(users.filter("one", "other"), on=schemas.USER)
    let_in = let_in.filter((ends["one"] & ~pl.col("one_inside")) | (ends["other"] & ~pl.col("other_inside")))
    first = let_in.sort(future_first(rows.period), nulls_last=True).head(1).collect()
    return rows.run.row_facts(first.row(0, named=True)) if first.height else {}


def is_item(item_type: str, item: int) -> pl.Expr:
    """True for the rows of one item."""
    return (pl.col(schemas.ITEM_TYPE) == item_type) & (pl.col(schemas.ITEM) == item)
