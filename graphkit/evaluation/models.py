"""The models of the table, fitted or read back from the current batches."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from graphkit.artefacts import Batch
from graphkit.config.sections import EvaluationSection
from graphkit.datasets.store import Dataset
from graphkit.evaluation.peers.item_knn import fit_item_knn
from graphkit.evaluation.peers.popularity import popularity, recent_popularity
from graphkit.evaluation.peers.train_data import history_matrices, strong_matrices
from graphkit.evaluation.recommender import Recommender
from graphkit.evaluation.vector_models import MeanOfHistory, TwoTower
from graphkit.graph.store import FEATURES_FILE, SERVE
from graphkit.vectors import EMBEDDINGS_FILE, ITEM_VECTORS_FILE, USER_VECTORS_FILE, Vectors, load_vectors

OURS: Final = "2T-HGNN"


class Entry(NamedTuple):
    """A row of the table: the model and, in one line, what it does."""

    model: Recommender
    what: str


def read_models(dataset: Dataset, upstream: Mapping[str, Batch], settings: EvaluationSection) -> list[Entry]:
    """Every model, from the simplest peer to ours; all know train rows only.

    ``upstream`` holds the batches of ``graph``, ``hgnn`` and ``towers``. Popularity of the last days is there
    only where the data have timestamps.
    """
    likes, histories = strong_matrices(dataset), history_matrices(dataset)
    recent = recent_popularity(dataset, settings.popularity_days)
    knn = fit_item_knn(likes, dataset.meta.targets, settings.knn_shrinkage, settings.knn_neighbours)
    text = load_vectors(upstream["graph"].path(FEATURES_FILE))
    users = load_vectors(upstream["towers"].path(USER_VECTORS_FILE))["user"]
    items = load_vectors(upstream["towers"].path(ITEM_VECTORS_FILE))
    mean = "cosine with the mean {} vector of the user's items of every type, strong and weak signals"
    entries = [Entry(popularity(likes), "how many users have the item in train, by a strong signal")]
    if recent is not None:
        entries.append(Entry(recent, f"the same over the last {settings.popularity_days} days before the cut-off"))
    return [
        *entries,
        Entry(
            knn,
            f"summed cosine of the user's strong items of every type, shrinkage {settings.knn_shrinkage:g}, "
            f"{settings.knn_neighbours} neighbours per item and type",
        ),
        Entry(MeanOfHistory("Text-kNN", histories, text), mean.format("text") + " (the paper's LLM-KNN)"),
        Entry(MeanOfHistory("HGNN", histories, serve_embeddings(upstream["hgnn"], dataset)), mean.format("HGNN")),
        Entry(TwoTower(OURS, users, items), "dot product of the user tower and the item tower"),
    ]


def serve_embeddings(hgnn: Batch, dataset: Dataset) -> Vectors:
    """The HGNN's item embeddings as of the cut-off: per item type float32 [num_items, dim]."""
    vectors = load_vectors(hgnn.path(EMBEDDINGS_FILE))
    return {item_type: vectors[f"{SERVE}/{item_type}"] for item_type in dataset.meta.types}
