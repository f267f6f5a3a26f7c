"""Inductive inference: embeddings of nodes that the network was not trained with (paper 4.3)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from graphkit.config import Config
from graphkit.graph.store import CoListeningGraph, Relation
from graphkit.hgnn.extend_graph import Floats, Ints, NewEdges, dependency_graph, extend_graph, reached_nodes
from graphkit.hgnn.graph_tensors import to_tensors
from graphkit.hgnn.infer import embed_graph
from graphkit.hgnn.model_file import load_model
from graphkit.hgnn.neighbours import choose_neighbours, load_pooling
from graphkit.hgnn.text_neighbours import has_in_edges, with_text_neighbours
from graphkit.training.device import choose_device, prepare


class NewEmbeddings(NamedTuple):
    """float32 [num_new, out_dim] per type, where they were computed, and by which neighbour back end."""

    vectors: dict[str, Floats]
    device: str
    neighbours: str


def embed_new(
    model_file: Path,
    graph: CoListeningGraph,
    features: Mapping[str, Floats],
    edges: Mapping[Relation, NewEdges],
    config: Config,
) -> NewEmbeddings:
    """Exact embeddings of a new node per row of ``features`` ([num_new, dim] per type), with ``edges`` into them.

    ``config`` are the settings that the model was trained under. A node without edges has in-edges from its text
    neighbours in the graph that was there, as in training's own embeddings (``hgnn.text_neighbours``). Only the part
    of the graph that the new nodes depend on is computed, where training was if that device is here.
    Raises ArtefactError for a file that is no model.
    """
    device = choose_device("cpu" if config.hgnn.device == "cpu" else "auto")
    back_end, _ = choose_neighbours("torch" if config.hgnn.neighbours == "torch" else "auto", device)
    prepare(device, config.run.threads)
    model = load_model(model_file).to(device)
    new = {t: np.arange(len(rows)) + graph.num_nodes[t] for t, rows in features.items()}
    whole = _with_text_neighbours(graph, extend_graph(graph, features, edges), new, config, len(model.layers))
    part, numbers = dependency_graph(whole, new, hops=len(model.layers))
    ids = {t: torch.from_numpy(its_numbers).to(device) for t, its_numbers in numbers.items()}
    z = embed_graph(model, to_tensors(part, device), load_pooling(back_end), ids)
    vectors = {t: z[t][len(z[t]) - len(nodes) :].cpu().numpy() for t, nodes in new.items()}  # the last of their type
    return NewEmbeddings(vectors, str(device), back_end)


def _with_text_neighbours(
    before: CoListeningGraph, graph: CoListeningGraph, new: Mapping[str, Ints], config: Config, hops: int
) -> CoListeningGraph:
    """``graph`` with in-edges for every item without one that the ``new`` nodes depend on, from items of ``before``.

    No new node is another item's text neighbour, so those of the catalogue stay what they are.
    """
    among = {t: np.zeros(n, bool) for t, n in graph.num_nodes.items()}
    for node_type, n in before.num_nodes.items():
        among[node_type][:n] = has_in_edges(before, node_type)
    for _ in range(hops):  # an edge may lead to more items without one
        needed = reached_nodes(graph, new, hops - 1)
        graph = with_text_neighbours(graph, config.hgnn.text_neighbours, needed, among)
    return graph
