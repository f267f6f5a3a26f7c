"""The graph artefact as numpy arrays. Reading it needs numpy and safetensors alone, so that training can
run on a bare GPU machine.

Files: ``graph.json``, ``edges.safetensors`` (CSC per directed relation and snapshot),
``features.safetensors`` (text vectors per type), ``edges/<snapshot>/<a>__<b>.parquet`` (for people, one
row an undirected edge: ``src``, ``dst``, ``support``, ``weight``).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from graphkit.artefacts import Batch

#: The graph as of the start of the towers' label period; without timestamps, all of train. Trained on.
FIT: Final = "fit"
#: The graph as of the cut-off: everything before the test period. Served and evaluated from.
SERVE: Final = "serve"
SNAPSHOTS: Final = (FIT, SERVE)

GRAPH_FILE: Final = "graph.json"
EDGES_FILE: Final = "edges.safetensors"
FEATURES_FILE: Final = "features.safetensors"

Relation = tuple[str, str]


@dataclass(frozen=True)
class Csc:
    """The in-edges of one directed relation, by destination node.

    The sources of destination ``v`` are ``indices[indptr[v]:indptr[v + 1]]``, ascending.
    """

    indptr: npt.NDArray[np.int64]  # [num_dst + 1]
    indices: npt.NDArray[np.int32]  # [num_edges]
    weight: npt.NDArray[np.float32]  # [num_edges]


@dataclass(frozen=True)
class CoListeningGraph:
    """One snapshot: nodes are catalogue items, edges join items that at least one user shares.

    ``relations`` maps (source type, destination type) to its in-edges; each undirected relation is there in
    both directions (a same-type relation once, symmetric). ``features`` are float32 [num_nodes, dim], zero
    rows where an item has no text.
    """

    num_nodes: dict[str, int]
    relations: dict[Relation, Csc]
    features: dict[str, npt.NDArray[np.float32]]

    @property
    def types(self) -> tuple[str, ...]:
        return tuple(self.num_nodes)


def save_graph(
    folder: Path,
    num_nodes: dict[str, int],
    snapshots: dict[str, dict[Relation, Csc]],
    features: dict[str, npt.NDArray[np.float32]],
    about: dict[str, Any],
) -> None:
    """Write the tensors and ``graph.json``; ``about`` holds what else a reader may want to know."""
    tensors: dict[str, npt.NDArray[Any]] = {}
    for snapshot, relations in snapshots.items():
        for (src, dst), csc in relations.items():
            key = f"{snapshot}/{src}/{dst}"
            tensors |= {
                f"{key}/indptr": csc.indptr,
                f"{key}/indices": csc.indices,
                f"{key}/weight": csc.weight,
            }
    save_file(tensors, folder / EDGES_FILE)
    save_file(features, folder / FEATURES_FILE)
    relation_names = [list(relation) for relation in next(iter(snapshots.values()))]
    body = {"num_nodes": num_nodes, "relations": relation_names, **about}
    (folder / GRAPH_FILE).write_text(json.dumps(body, indent=1, default=str), encoding="utf-8")


def read_graph(batch: Batch, snapshot: str) -> CoListeningGraph:
    """One snapshot (``fit`` or ``serve``) of a graph batch."""
    about = read_about(batch)
    tensors = load_file(batch.path(EDGES_FILE))
    relations = {}
    for src, dst in about["relations"]:
        key = f"{snapshot}/{src}/{dst}"
        parts = (tensors[f"{key}/{part}"] for part in ("indptr", "indices", "weight"))
        relations[src, dst] = Csc(*parts)
    return CoListeningGraph(about["num_nodes"], relations, load_file(batch.path(FEATURES_FILE)))


def read_about(batch: Batch) -> dict[str, Any]:
    """``graph.json``: ``num_nodes`` per type, ``relations``, and what the builder noted."""
    about: dict[str, Any] = json.loads(batch.path(GRAPH_FILE).read_text(encoding="utf-8"))
    return about
