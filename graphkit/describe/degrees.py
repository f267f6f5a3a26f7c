"""How many neighbours nodes have, and how strong edges are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit.artefacts import Batch
from graphkit.graph.store import Relation, edge_table

QUANTILES: Final = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Degrees:
    """In-degrees of the nodes of one type, over the edges of ``relation`` (None: of all relations).

    ``quantiles`` are over all nodes. ``histogram`` counts the nodes by degree: 0, 1, 2-3, 4-7, and so on.
    """

    node_type: str
    relation: str | None
    nodes: int
    without_edge: int
    mean: float
    quantiles: dict[str, int]
    histogram: dict[str, int]


@dataclass(frozen=True)
class Strengths:
    """Quantiles of the support and weight of one relation's undirected edges; none where it has no edge."""

    relation: str
    edges: int
    support: dict[str, float]
    weight: dict[str, float]


def read_edges(graph: Batch, snapshot: str, relation: Relation) -> pl.DataFrame:
    """The edge table of an undirected relation; see ``graphkit.graph.store``."""
    return pl.read_parquet(graph.path(edge_table(snapshot, relation)))


def in_degrees(edges: pl.DataFrame, relation: Relation, num_nodes: dict[str, int]) -> dict[str, Ints]:
    """The in-degrees int64 [num_nodes] of the node types of ``relation``.

    An edge pruned by destination is an in-edge of one end only (``at_src``, ``at_dst``).
    """
    found = {name: np.zeros(num_nodes[name], np.int64) for name in (relation.src, relation.dst)}
    for node_type, end, kept in ((relation.src, "src", "at_src"), (relation.dst, "dst", "at_dst")):
        ends = edges.filter(pl.col(kept))[end] if kept in edges.columns else edges[end]
        found[node_type] += np.bincount(ends.to_numpy(), minlength=num_nodes[node_type])
    return found


def summarise_degrees(node_type: str, relation: str | None, degrees: Ints) -> Degrees:
    """Quantiles and a log-binned histogram of ``degrees`` [num_nodes]."""
    bins = np.where(degrees > 0, np.floor(np.log2(np.maximum(degrees, 1))) + 1, 0).astype(np.int64)
    return Degrees(
        node_type,
        relation,
        len(degrees),
        int((degrees == 0).sum()),
        float(degrees.mean()) if len(degrees) else 0.0,
        {name: int(value) for name, value in _quantiles(degrees).items()},
        {_bin_name(i): int(count) for i, count in enumerate(np.bincount(bins, minlength=1))},
    )


def _bin_name(number: int) -> str:
    """Bin 0 holds degree 0, bin i degrees 2^(i - 1) to 2^i - 1."""
    return str(number) if number < 2 else f"{2 ** (number - 1)}-{2**number - 1}"


def summarise_strengths(edges: pl.DataFrame, relation: Relation) -> Strengths:
    """Quantiles of the support and the weight of ``edges``."""
    support, weight = (_quantiles(edges[name].to_numpy()) for name in ("support", "weight"))
    return Strengths(relation.name, edges.height, support, weight)


def _quantiles(values: npt.NDArray[Any]) -> dict[str, float]:
    if not len(values):
        return {}
    found = np.quantile(values, QUANTILES, method="inverted_cdf")
    return {f"{at:.0%}": float(value) for at, value in zip(QUANTILES, found, strict=True)}
