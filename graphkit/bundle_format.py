"""The serving bundle's files and ``bundle.json``: what the export writes and serving reads.

``index/<type>.ann``           Annoy index of a target type (``.voy`` Voyager, ``.faiss`` FAISS, none if it is exact);
                               its ids are item rows
``item_vectors.safetensors``   item tower outputs, ``<type>`` float32 [num_items, dim], L2-normalised
``embeddings.safetensors``     HGNN embeddings of every type, ``<type>`` float32 [num_items, embedding_dim]
``pooled_vectors.safetensors`` only where the user tower pools other item vectors than these: the same for those
``input_vectors.safetensors``  only where the user tower reads user vectors: ``<name>`` float32 [num_users, dim]
``items.parquet``              the catalogue: ``item_type``, ``item`` (row within its type), ``item_id``, title, …
``users.parquet``              ``user_id`` (sorted) and ``user`` (row)
``user_categorical.safetensors``  ``categorical`` int32 [num_users, num_features]
``histories.safetensors``      what the user tower pools, per type and signal group
``seen.safetensors``           all strong train items per type: edges lead from them, and none is recommended again
``edges.safetensors``          learned weights of co-listening edges: ``<target>/<warm or cold>/indptr``, ``/indices``
                               and ``/weights``, a CSR from the items of all types, side by side, to the target's
``adjacency.safetensors``      each item's heaviest co-listening neighbours as of the cut-off, for reasons:
                               ``<type>/<neighbours' type>/indptr``, ``/indices`` and ``/weights``, heaviest first
``popularity.safetensors``     ``<type>`` int32 [num_items], users who met the item lately: part of the blend, and the
                               fallback
``features.json``              FeatureSpec, the user tower's input signature
``replay.safetensors``         what the training process gave a sample of users: see ``towers.replay``
``user_tower.onnx``, ``user_tower/``  the user tower for onnxruntime, and as a SavedModel
"""

from __future__ import annotations

from datetime import datetime
from typing import Final

from pydantic import BaseModel, ConfigDict

from graphkit.config.sections import IndexKind
from graphkit.vectors import EMBEDDINGS_FILE as EMBEDDINGS_FILE
from graphkit.vectors import INPUT_VECTORS_FILE as INPUT_VECTORS_FILE
from graphkit.vectors import ITEM_VECTORS_FILE as ITEM_VECTORS_FILE
from graphkit.vectors import POOLED_VECTORS_FILE as POOLED_VECTORS_FILE

FORMAT_VERSION: Final = 4
BUNDLE_FILE: Final = "bundle.json"
README_FILE: Final = "README.md"
ITEMS_FILE: Final = "items.parquet"
USERS_FILE: Final = "users.parquet"
CATEGORICAL_FILE: Final = "user_categorical.safetensors"
CATEGORICAL: Final = "categorical"
HISTORIES_FILE: Final = "histories.safetensors"
SEEN_FILE: Final = "seen.safetensors"
EDGES_FILE: Final = "edges.safetensors"
ADJACENCY_FILE: Final = "adjacency.safetensors"
POPULARITY_FILE: Final = "popularity.safetensors"
FEATURES_FILE: Final = "features.json"
REPLAY_FILE: Final = "replay.safetensors"
ONNX_FILE: Final = "user_tower.onnx"
SAVED_MODEL_DIR: Final = "user_tower"


class IndexMeta(BaseModel):
    """How to search the item vectors of one type: by angle, over unit vectors made from them.

    ``exact`` has no file: all item vectors are scored. ``longest`` is the greatest length of an item vector where one
    more column made all equally long (``graphkit.indexes.lengths``), None where none was needed. ``effort`` is what a
    search for 100 items spends (Annoy's ``search_k``, Voyager's ``query_ef``, candidates taken from FAISS),
    ``recall`` the share of the exact 100 that it found for users whom it was not tuned on.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: IndexKind
    file: str | None = None
    dim: int
    num_items: int
    longest: float | None = None
    effort: int = 0
    recall: float = 1.0


class BundleMeta(BaseModel):
    """``bundle.json``: what is recommended, how to search it, and where it all came from.

    ``space_id`` is the towers' vector space, ``hgnn_space_id`` that of the embeddings, ``embedding_dim`` wide;
    ``towers_weight`` and ``popularity_weight`` are what the towers and what is popular weigh in the blend, by
    "type/warm" and "type/cold", the edges' being 1.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format_version: int = FORMAT_VERSION
    name: str
    types: tuple[str, ...]
    targets: tuple[str, ...]
    indexes: dict[str, IndexMeta]
    embedding_dim: int
    num_users: int
    num_items: dict[str, int]
    cutoff: datetime | None
    popularity_days: int
    towers_weight: dict[str, float]
    popularity_weight: dict[str, float]
    space_id: str
    hgnn_space_id: str
    snapshot_id: str
