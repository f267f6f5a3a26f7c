"""The graph artefact as numpy arrays. Reading it needs numpy and safetensors alone, so that training can
run on a bare GPU machine.

Files: ``graph.json``, ``csc/<snapshot>/<src>__<kind>__<dst>.safetensors`` (in-edges of a directed relation),
``features.safetensors`` (text vectors per item type), ``edges/<snapshot>/<src>__<kind>__<dst>.parquet`` (for
people and other tools, one row an undirected edge: ``src``, ``dst``, ``support``, ``weight``, ``at_src`` and
``at_dst``: whether the edge is an in-edge of that end).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from graphkit.artefacts import Batch

#: The graph as of the start of the towers' label period; without timestamps, all of train. Trained on.
FIT: Final = "fit"
#: The graph as of the cut-off: everything before the test period. Served and evaluated from.
SERVE: Final = "serve"
SNAPSHOTS: Final = (FIT, SERVE)

#: Two items that a user listened to both of (paper 4.1.1).
CO_LISTENING: Final = "co-listening"
#: Two items that stand in one playlist.
PLAYLIST: Final = "playlist"
#: A user and an item the user listened to: the tripartite graph of HGNN-w-users (paper 5.1.3).
LISTENING: Final = "listening"
#: The node type of users in the tripartite graph.
USER_NODE: Final = "user"

GRAPH_FILE: Final = "graph.json"
FEATURES_FILE: Final = "features.safetensors"


class Relation(NamedTuple):
    """A directed relation: edges of one ``kind`` from nodes of type ``src`` to nodes of type ``dst``."""

    src: str
    kind: str
    dst: str

    @property
    def reverse(self) -> Relation:
        return Relation(self.dst, self.kind, self.src)

    @property
    def same_type(self) -> bool:
        return self.src == self.dst

    @property
    def name(self) -> str:
        """As people and the configuration write it: ``audiobook-podcast``, ``playlist:track-track``."""
        ends = f"{self.src}-{self.dst}"
        return ends if self.kind == CO_LISTENING else f"{self.kind}:{ends}"

    @property
    def file_stem(self) -> str:
        return "__".join(quote(part, safe="") for part in self)


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
    """One snapshot: nodes are catalogue items (and users, in the tripartite graph).

    ``relations`` maps a directed relation to its in-edges; an undirected one is there in both directions (a
    same-type relation once, symmetric). Pruned by destination, an edge may be there in one direction only.
    ``features`` are float32 [num_nodes, dim], zero rows where an item has no text; users have none.
    """

    num_nodes: dict[str, int]
    relations: dict[Relation, Csc]
    features: dict[str, npt.NDArray[np.float32]]

    @property
    def types(self) -> tuple[str, ...]:
        return tuple(self.num_nodes)


def save_csc(folder: Path, snapshot: str, relation: Relation, csc: Csc) -> None:
    """Write the in-edges of one directed relation of a snapshot."""
    path = folder / _csc_name(snapshot, relation)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"indptr": csc.indptr, "indices": csc.indices, "weight": csc.weight}, path)


def save_about(
    folder: Path,
    num_nodes: dict[str, int],
    relations: list[Relation],
    features: dict[str, npt.NDArray[np.float32]],
    about: dict[str, Any],
) -> None:
    """Write the features and ``graph.json``; ``relations`` are undirected, ``about`` what else a reader may
    want to know."""
    save_file(features, folder / FEATURES_FILE)
    body = {"num_nodes": num_nodes, "relations": relations, **about}
    (folder / GRAPH_FILE).write_text(json.dumps(body, indent=1, default=str), encoding="utf-8")


def read_graph(batch: Batch, snapshot: str) -> CoListeningGraph:
    """One snapshot (``fit`` or ``serve``) of a graph batch."""
    relations = {}
    for relation in undirected_relations(batch):
        for directed in dict.fromkeys((relation, relation.reverse)):
            relations[directed] = read_relation(batch, snapshot, directed)
    return CoListeningGraph(read_about(batch)["num_nodes"], relations, load_file(batch.path(FEATURES_FILE)))


def read_relation(batch: Batch, snapshot: str, relation: Relation) -> Csc:
    """The in-edges of one directed relation that the graph has."""
    return Csc(**load_file(batch.path(_csc_name(snapshot, relation))))


def undirected_relations(batch: Batch) -> list[Relation]:
    """The relations of a graph batch, each in the direction in which its edge table is written."""
    return [Relation(*parts) for parts in read_about(batch)["relations"]]


def edge_table(snapshot: str, relation: Relation) -> str:
    """The name of the Parquet table of an undirected relation's edges."""
    return f"edges/{snapshot}/{relation.file_stem}.parquet"


def read_about(batch: Batch) -> dict[str, Any]:
    """``graph.json``: ``num_nodes`` per type, the undirected ``relations``, and what the builder noted."""
    about: dict[str, Any] = json.loads(batch.path(GRAPH_FILE).read_text(encoding="utf-8"))
    return about


def _csc_name(snapshot: str, relation: Relation) -> str:
    return f"csc/{snapshot}/{relation.file_stem}.safetensors"
