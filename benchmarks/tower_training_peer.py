"""The peer of ``benchmarks/tower_training.py``: keras-rs's guide to retrieval, with graphkit's inputs and widths."""

from __future__ import annotations

from typing import Any

import keras
import keras_rs
from keras import ops

from graphkit.config.towers import TowersSection
from graphkit.user_features import FeatureSpec
from towers.item_features import ItemSpec


def dense_tower(settings: TowersSection) -> Any:
    layers = [keras.layers.Dense(width, activation="relu") for width in settings.hidden]
    return keras.Sequential([*layers, keras.layers.Dense(settings.out_dim), keras.layers.UnitNormalization(axis=-1)])


class RetrievalModel(keras.Model):
    """Two towers, the layers of keras-rs for popularity and equal ids, and a softmax over the batch."""

    def __init__(self, users: FeatureSpec, items: ItemSpec, settings: TowersSection) -> None:
        super().__init__()
        self.temperature = settings.temperature
        self.user_tower, self.item_tower = dense_tower(settings), dense_tower(settings)
        self.user_embeddings = embeddings(users.categorical, settings.category_dim)
        self.item_embeddings = embeddings(items.categorical, settings.category_dim)
        self.genres = keras.layers.Dense(settings.category_dim, use_bias=False) if items.genres else None
        self.correct = keras_rs.layers.SamplingProbabilityCorrection()
        self.remove = keras_rs.layers.RemoveAccidentalHits()
        self.cross_entropy = keras.losses.CategoricalCrossentropy(from_logits=True)

    def build(self, *_: Any) -> None:
        """Layers are built by the first batch."""

    def call(self, inputs: Any) -> Any:
        user, item = inputs["user"], inputs["item"]
        users = [user["pooled"], *looked_up(user["categorical"], self.user_embeddings)]
        items = [item["dense"], *looked_up(item["categorical"], self.item_embeddings)]
        if self.genres is not None:
            items.append(self.genres(item["genres"]))
        return (
            self.user_tower(ops.concatenate(users, axis=-1)),
            self.item_tower(ops.concatenate(items, axis=-1)),
        )

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        users, items = y_pred
        logits = ops.cast(ops.matmul(users, ops.transpose(items)), "float32") / self.temperature
        labels = ops.eye(ops.shape(logits)[0])
        logits = self.remove(self.correct(logits, x["probability"]), labels, x["id"])
        return self.cross_entropy(labels, logits)


def embeddings(vocabularies: dict[str, tuple[str, ...]], dim: int) -> list[Any]:
    return [keras.layers.Embedding(1 + len(words), dim) for words in vocabularies.values()]


def looked_up(categorical: Any, layers: list[Any]) -> list[Any]:
    return [layer(categorical[:, column]) for column, layer in enumerate(layers)]


def retrieval_model(users: FeatureSpec, items: ItemSpec, settings: TowersSection) -> Any:
    """The peer's model for one user tower and one item tower."""
    return RetrievalModel(users, items, settings)
