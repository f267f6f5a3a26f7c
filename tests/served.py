"""What a bundle must rank by: the row of the evaluation's table that it serves."""

from __future__ import annotations

from graphkit.artefacts import Workspace
from graphkit.blend.popular import popular_parts
from graphkit.blend.scorer import Blend
from graphkit.blend.weights import blend_weights
from graphkit.config import load_config
from graphkit.datasets.store import Dataset
from graphkit.edge_weights.stage import read_edges
from graphkit.evaluation.vector_models import DotProduct
from graphkit.vectors import load_vectors


def table_model(workspace: Workspace, *sets: str) -> Blend:
    """The current towers and edges as the evaluation blends them under the settings ``sets``."""
    towers, edges = workspace.current("towers"), workspace.current("edges")
    users = load_vectors(towers.path("user_vectors.safetensors"))["user"]
    dots = DotProduct("towers", users, load_vectors(towers.path("item_vectors.safetensors")))
    dataset = Dataset.open(workspace.current("dataset"))
    config = load_config("default", sets)
    popular = popular_parts(dataset, config.blend.popularity_days)
    return Blend("blend", read_edges(edges, dataset), dots, popular, blend_weights(config.blend, dataset, None))
