"""The tiny sample world with a graph and a trained HGNN, and tables of new items for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from graphkit import build_graph, sample_world, train_hgnn
from graphkit.artefacts import Batch, Workspace
from graphkit.config import Config, load_config
from graphkit.config.hgnn import HgnnSection
from graphkit.graph.store import CO_LISTENING, SERVE, CoListeningGraph, Relation, read_graph
from graphkit.hgnn.graph_tensors import to_tensors
from graphkit.hgnn.infer import embed_graph
from graphkit.hgnn.model_file import load_model
from graphkit.hgnn.neighbours import load_pooling
from graphkit.hgnn.text_neighbours import with_text_neighbours
from graphkit.vectors import load_vectors
from tests.hgnn_graphs import csc

#: Some with a text, one of a type of its own, one without a text.
ITEMS = [
    {"item_id": "new-b", "item_type": "audiobook", "title": "A murder in the library", "description": "Who did it?"},
    {"item_id": "new-a", "item_type": "audiobook", "title": None, "description": None},
    {"item_id": "new-c", "item_type": "podcast", "title": "Cold cases", "description": None},
    {"item_id": "new-a", "item_type": "track", "title": "Night train", "description": " "},
]
#: (item, its type, neighbour, its type); the last one joins two new items.
EDGES = [
    ("new-b", "audiobook", "podcast-7", "podcast"),
    ("new-b", "audiobook", "podcast-3", "podcast"),
    ("new-b", "audiobook", "audiobook-11", "audiobook"),
    ("new-a", "audiobook", "track-5", "track"),
    ("new-c", "podcast", "track-9", "track"),
    ("new-c", "podcast", "new-b", "audiobook"),
]
EDGE_COLUMNS = ("item_id", "item_type", "neighbour_id", "neighbour_type")


def config(*more: str) -> Config:
    sets = ("sample.size=tiny", "hgnn.epochs=1", "hgnn.hidden_dim=16", "hgnn.out_dim=8", "run.threads=1")
    return load_config("demo", (*sets, *more))


def train_chain(root: Path, *more: str) -> None:
    """Dataset, graph and HGNN of the tiny sample world."""
    workspace = Workspace(root)
    for stage in (sample_world, build_graph, train_hgnn):
        stage(workspace, config(*more))


def write_items(path: Path, rows: list[dict[str, Any]] = ITEMS) -> Path:
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(path)
    return path


def write_edges(path: Path, rows: list[tuple[str, ...]] = EDGES) -> Path:
    pl.DataFrame(rows, schema=dict.fromkeys(EDGE_COLUMNS, pl.String), orient="row").write_csv(path)
    return path


def by_id(batch: Batch) -> dict[tuple[str, str], np.ndarray]:
    """The vector of each new item, by (type, id)."""
    vectors = load_vectors(batch.path("embeddings.safetensors"))
    rows = pl.read_parquet(batch.path("items.parquet")).iter_rows(named=True)
    return {(row["item_type"], row["item_id"]): vectors[row["item_type"]][row["row"]] for row in rows}


def serve_graph(root: Path) -> CoListeningGraph:
    return read_graph(Workspace(root).current("graph"), SERVE)


def numbers(root: Path) -> dict[tuple[str, str], int]:
    """The node number of each catalogue item, by (type, id)."""
    items = pl.read_parquet(Workspace(root).current("dataset").path("items.parquet"))
    return {(t, i): n for t, i, n in items.select("item_type", "item_id", "item").iter_rows()}


def embedded(root: Path, graph: CoListeningGraph) -> dict[str, np.ndarray]:
    """Every node of a graph by the current model, over the whole graph."""
    model = load_model(Workspace(root).current("hgnn").path("model.safetensors"))
    whole = with_text_neighbours(graph, HgnnSection().text_neighbours)
    z = embed_graph(model, to_tensors(whole, torch.device("cpu")), load_pooling("torch"))
    return {t: rows.numpy() for t, rows in z.items()}


def grown(
    graph: CoListeningGraph,
    features: dict[str, list[np.ndarray]],
    edges: list[tuple[str, int, str, int]],
) -> CoListeningGraph:
    """The graph written anew by plain loops, with more nodes and co-listening edges (type, source, type, node)."""
    num_nodes = {t: n + len(features.get(t, [])) for t, n in graph.num_nodes.items()}
    relations = {}
    for relation, old in graph.relations.items():
        pairs = [
            (int(s), v) for v in range(len(old.indptr) - 1) for s in old.indices[old.indptr[v] : old.indptr[v + 1]]
        ]
        pairs += [(s, v) for src, s, dst, v in edges if Relation(src, CO_LISTENING, dst) == relation]
        relations[relation] = csc(pairs, num_nodes[relation.dst])
        relations[relation].weight[: len(old.weight)] = old.weight  # new nodes come last
    text = {t: np.stack([*own, *features.get(t, [])]) for t, own in graph.features.items()}
    return CoListeningGraph(num_nodes, relations, text)


def told(output: str) -> dict[str, Any]:
    """The JSON object that a command printed."""
    found: dict[str, Any] = json.loads(output)
    return found
