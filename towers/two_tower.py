"""The two towers (paper 4.2): one for users, one for the items of each target type.

Both are plain functional Keras models of dense layers that end in an L2-normalised vector, so that the score
of a user and an item, their dot product, is a cosine.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from graphkit.artefacts import Batch
from graphkit.config.towers import TowersSection
from graphkit.errors import ArtefactError
from graphkit.user_features import FeatureSpec
from towers.backend import keras, ops, to_numpy
from towers.item_features import ItemSpec
from towers.losses import linear_loss, softmax_loss
from towers.user_spec import FEATURES_FILE

WEIGHTS_FILE: Final = "towers.weights.safetensors"
USER: Final = "user"
FLOAT32: Final = "float32"
_TARGETS: Final = ("own", "excluded", "probability", "times", "weight")

Weights = dict[str, npt.NDArray[np.float32]]


def user_tower(spec: FeatureSpec, settings: TowersSection, precision: str = FLOAT32) -> Any:
    """``{"pooled": float32 [B, spec.pooled_dim], "categorical": int32 [B, C], "vectors": float32
    [B, spec.vectors_dim]}`` to float32 [B, out_dim]."""
    pooled = keras.Input((spec.pooled_dim,), name="pooled", dtype="float32")
    categorical = keras.Input((len(spec.categorical),), name="categorical", dtype="int32")
    parts = [pooled * _scale([*spec.pool_widths] * len(spec.pools))] if spec.pools else []
    parts += _embedded(categorical, spec.categorical, settings.category_dim)
    vectors = keras.Input((spec.vectors_dim,), name="vectors", dtype="float32")
    if spec.vectors:
        each = spec.vectors.values()
        scale = np.repeat([one.scale for one in each], [one.dim for one in each])
        parts.append(vectors * scale.astype(np.float32))
    vector = _dense_layers(parts, settings, precision)
    inputs = {"pooled": pooled, "categorical": categorical, "vectors": vectors}
    return keras.Model(inputs, vector, name=USER)


def item_tower(item_type: str, spec: ItemSpec, settings: TowersSection, precision: str = FLOAT32) -> Any:
    """``{"dense": float32 [B, spec.dense_dim], "categorical": int32 [B, C], "genres": float32 [B, G]}`` to
    float32 [B, out_dim]."""
    dense = keras.Input((spec.dense_dim,), name="dense", dtype="float32")
    categorical = keras.Input((len(spec.categorical),), name="categorical", dtype="int32")
    genres = keras.Input((1 + len(spec.genres),), name="genres", dtype="float32")
    scale = np.append(_scale([spec.text_dim, spec.embedding_dim]), np.ones(spec.popularity_dim, np.float32))
    parts = [dense * scale] if spec.dense_dim else []
    parts += _embedded(categorical, spec.categorical, settings.category_dim)
    if spec.genres:  # the mean of the genres' embeddings
        parts.append(keras.layers.Dense(settings.category_dim, use_bias=False, name="genre_embedding")(genres))
    vector = _dense_layers(parts, settings, precision)
    inputs = {"dense": dense, "categorical": categorical, "genres": genres}
    return keras.Model(inputs, vector, name=f"item_{item_type}")


def _scale(widths: list[int]) -> npt.NDArray[np.float32]:
    """The square root of each block's width, column by column: a unit vector's values become of order one,
    as the log counts beside them are."""
    return np.repeat(np.sqrt(widths), widths).astype(np.float32)


def _embedded(categorical: Any, vocabularies: Mapping[str, tuple[str, ...]], dim: int) -> list[Any]:
    """A learned embedding [B, dim] per categorical column; slot 0 is the unknown value's."""
    return [
        keras.layers.Embedding(1 + len(words), dim, name=f"{name}_embedding")(categorical[:, column])
        for column, (name, words) in enumerate(vocabularies.items())
    ]


def _dense_layers(parts: list[Any], settings: TowersSection, precision: str) -> Any:
    """Hidden layers and the vector; with bfloat16, matrix products alone are in it, weights and vectors never."""
    policy = FLOAT32 if precision == FLOAT32 else f"mixed_{precision}"
    layer = keras.layers.Concatenate(name="features")(parts) if len(parts) > 1 else parts[0]
    for i, width in enumerate(settings.hidden):
        layer = keras.layers.Dense(width, activation="relu", dtype=policy, name=f"hidden_{i}")(layer)
    layer = keras.layers.Dense(settings.out_dim, dtype=policy, name="out")(layer)
    return keras.layers.UnitNormalization(axis=-1, name="normalised")(layer)


class TowerPair(keras.Model):  # type: ignore[misc]  # keras ships no types
    """The shared user tower and one item tower, trained on batches of that item type.

    Inputs are ``{"user": ..., "item": ...}`` of B examples' users and of the batch's C columns, targets
    ``{"own": int [B], "excluded": bool [B, C], "probability": [C], "times": [C], "weight": [B]}``, as the losses take
    them, with weights that sum to one; the output is the score matrix [B, C].
    """

    def __init__(self, users: Any, items: Any, settings: TowersSection) -> None:
        super().__init__(name=f"pair_{items.name}")
        self.users, self.items, self.settings = users, items, settings

    def call(self, inputs: Any) -> Any:
        return ops.matmul(self.users(inputs["user"]), ops.transpose(self.items(inputs["item"])))

    def compute_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None, training: bool = True
    ) -> Any:
        own, excluded, probability, times, weight = (ops.convert_to_tensor(y[name]) for name in _TARGETS)
        if self.settings.loss == "linear":
            losses = linear_loss(y_pred, own, excluded, probability, times)
        else:
            losses = softmax_loss(y_pred, own, excluded, probability, times, self.settings.temperature)
        return ops.sum(weight * losses)


class Towers:
    """All towers of a batch: one user tower, an item tower per target type, and their training pairs."""

    def __init__(
        self, users: FeatureSpec, items: Mapping[str, ItemSpec], settings: TowersSection, precision: str = FLOAT32
    ) -> None:
        self.user = user_tower(users, settings, precision)
        self.items = {t: item_tower(t, spec, settings, precision) for t, spec in items.items()}
        self.pairs = {item_type: TowerPair(self.user, tower, settings) for item_type, tower in self.items.items()}

    def weights(self) -> Weights:
        """Every weight by tower and layer, as ``user/hidden_0/kernel`` or ``item_movie/out/bias``."""
        models = [self.user, *self.items.values()]
        return {f"{m.name}/{w.path}": to_numpy(w) for m in models for w in m.weights}

    def set_weights(self, weights: Weights) -> None:
        """Load what ``weights`` returned."""
        for model in [self.user, *self.items.values()]:
            _assign(model, weights)


def save_weights(path: Any, weights: Weights) -> None:
    """Write weights as safetensors; the same weights give the same bytes."""
    save_file({name: np.ascontiguousarray(weights[name]) for name in sorted(weights)}, path)


def load_user_tower(batch: Batch) -> Any:
    """The trained user tower of a towers batch, a standalone Keras model without the training code."""
    spec = FeatureSpec.model_validate_json(batch.path(FEATURES_FILE).read_text(encoding="utf-8"))
    model = user_tower(spec, TowersSection.model_validate(batch.manifest.settings["towers"]))
    try:
        _assign(model, load_file(batch.path(WEIGHTS_FILE)))
    except (KeyError, ValueError) as error:
        raise ArtefactError(
            "the user tower's weights do not fit its description",
            where=str(batch.path(WEIGHTS_FILE)),
            found=str(error),
            fix="run `graphkit train-towers` again",
        ) from None
    return model


def _assign(model: Any, weights: Weights) -> None:
    for weight in model.weights:
        weight.assign(weights[f"{model.name}/{weight.path}"])
