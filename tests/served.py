"""What a bundle must rank by: the row of the evaluation's table that it serves."""

from __future__ import annotations

from graphkit.artefacts import Workspace
from graphkit.blend.weights import towers_weight
from graphkit.config import load_config
from graphkit.datasets.store import Dataset
from graphkit.edge_weights.scorer import Blend
from graphkit.edge_weights.stage import read_edges
from graphkit.evaluation.vector_models import DotProduct
from graphkit.vectors import load_vectors


def table_model(workspace: Workspace) -> Blend:
    """The current towers and edges as the evaluation blends them."""
    towers, edges = workspace.current("towers"), workspace.current("edges")
    users = load_vectors(towers.path("user_vectors.safetensors"))["user"]
    dots = DotProduct("towers", users, load_vectors(towers.path("item_vectors.safetensors")))
    dataset = Dataset.open(workspace.current("dataset"))
    weight = towers_weight(load_config("default").blend, dataset, None)
    return Blend("blend", read_edges(edges, dataset), dots, weight)
