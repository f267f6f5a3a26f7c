"""The user tower's inputs, read off a dataset and item embeddings."""

from __future__ import annotations

from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.config.sections import TowersSection
from graphkit.datasets.histories import read_histories
from graphkit.datasets.store import Dataset
from graphkit.errors import InputError
from graphkit.user_features import STRONG, WEAK, FeatureSpec, Histories, Pool, UserFeatures
from graphkit.vectors import Vectors

FEATURES_FILE: Final = "features.json"
#: Fewer users than this share a value: it counts as unknown, which is how the unknown slot is trained.
_MIN_USERS: Final = 5


def feature_spec(dataset: Dataset, embedding_dim: int, settings: TowersSection) -> FeatureSpec:
    """A pool per item type and signal group, and a vocabulary per categorical feature that has values, of those
    that ``settings.user_inputs`` name.

    Raises InputError where the dataset has none of them.
    """
    meta, wanted = dataset.meta, settings.user_inputs
    groups = [
        group
        for group, name, signals in ((STRONG, "history", meta.strong), (WEAK, "weak", meta.weak))
        if signals and name in wanted
    ]
    pools = tuple(Pool(item_type, group) for item_type in meta.types for group in groups)
    bare = FeatureSpec(pools=pools, embedding_dim=embedding_dim, counts="counts" in wanted)
    categorical = _vocabularies(dataset, bare) if "demographics" in wanted else {}
    if not pools and not categorical:
        raise InputError(
            "the user tower has no input left",
            where=f"towers.user_inputs = {list(wanted)}",
            expected="at least one input of the user tower that the dataset has",
            found="no signal of these groups" + (", no country and no age" if "demographics" in wanted else ""),
            fix="name more of towers.user_inputs, or import the users' countries or ages",
        )
    return bare.model_copy(update={"categorical": categorical})


def _vocabularies(dataset: Dataset, bare: FeatureSpec) -> dict[str, tuple[str, ...]]:
    users = dataset.users()
    bins = tuple(str(i) for i in range(len(bare.age_edges) + 1))
    vocabularies = {schemas.COUNTRY: _values(users, schemas.COUNTRY), schemas.AGE: bins}
    return {name: words for name, words in vocabularies.items() if words and _has_values(users, name)}


def categorical_table(spec: FeatureSpec, users: pl.DataFrame) -> npt.NDArray[np.int32]:
    """Categorical ids int32 [num_users, len(spec.categorical)]."""
    columns = [spec.encode(name, users[name].to_list()) for name in spec.categorical]
    return np.stack(columns, axis=1) if columns else np.zeros((users.height, 0), dtype=np.int32)


def user_features(
    dataset: Dataset,
    spec: FeatureSpec,
    embeddings: Vectors,
    before: datetime | None,
    settings: TowersSection,
) -> UserFeatures:
    """What the towers know of every user as of ``before`` (None: all of train).

    For training ``before`` is ``meta.label_start`` with ``fit`` embeddings, for serving ``meta.cutoff`` with
    ``serve`` embeddings; ``embeddings`` maps item type to float32 [num_items, spec.embedding_dim]. The histories are
    there whether they are pooled or not: they also tell who is warm and who is cold.
    """
    histories = tower_histories(dataset, before, settings)
    return UserFeatures(spec, histories, embeddings, categorical_table(spec, dataset.users()))


def tower_histories(dataset: Dataset, before: datetime | None, settings: TowersSection) -> Histories:
    """The histories that the user tower can pool, as of ``before``."""
    return read_histories(dataset, before, settings.history_days, settings.max_history)


def _has_values(users: pl.DataFrame, name: str) -> bool:
    return name in users.columns and users[name].null_count() < users.height


def _values(users: pl.DataFrame, name: str) -> tuple[str, ...]:
    if name not in users.columns:
        return ()
    counts = users[name].drop_nulls().value_counts().filter(pl.col("count") >= _MIN_USERS)
    return tuple(sorted(counts[name].to_list()))
