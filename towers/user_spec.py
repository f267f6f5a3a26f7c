"""The user tower's inputs, read off a dataset and item embeddings."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.config.towers import TowersSection
from graphkit.datasets.histories import read_histories
from graphkit.datasets.onboarding import known_users, read_onboarding
from graphkit.datasets.store import Dataset, DatasetMeta
from graphkit.errors import InputError, did_you_mean
from graphkit.histories import ONBOARDING, STRONG, WEAK, Histories, Pool, weak_group
from graphkit.user_features import FeatureSpec, UserFeatures
from graphkit.user_vectors import UserVectors
from graphkit.vectors import Vectors

FEATURES_FILE: Final = "features.json"
#: Fewer users than this share a value: it counts as unknown, which is how the unknown slot is trained.
_MIN_USERS: Final = 5


def feature_spec(dataset: Dataset, embedding_dim: int, settings: TowersSection) -> FeatureSpec:
    """A pool per item type and group, and a vocabulary per categorical feature that has values, of those that
    ``settings.user_inputs`` name.

    Raises InputError where the dataset has none of them, for a categorical feature that it lacks, and for means that
    are weighted by time where nothing has one.
    """
    wanted, half_life = settings.user_inputs, settings.half_life_days
    if half_life is not None and dataset.meta.cutoff is None:
        raise InputError(
            "the dataset has no timestamps to weigh histories by",
            where=f"towers.half_life_days = {half_life:g}",
            fix="leave it out: every item of a history counts the same",
        )
    users = dataset.users()
    groups = _groups(dataset.meta, users, wanted)
    pools = tuple(Pool(item_type, group) for item_type in dataset.meta.types for group in groups)
    bare = FeatureSpec(pools=pools, embedding_dim=embedding_dim, counts="counts" in wanted, half_life_days=half_life)
    categorical = _vocabularies(dataset.meta, users, bare, settings)
    if not pools and not categorical and not settings.user_vectors:
        raise InputError(
            "the user tower has no input left",
            where=f"towers.user_inputs = {list(wanted)}",
            expected="at least one input of the user tower that the dataset has",
            found="no signal of these groups" + (", no country and no age" if "demographics" in wanted else ""),
            fix="name more of towers.user_inputs, or import the users' countries or ages",
        )
    return bare.model_copy(update={"categorical": categorical})


def _groups(meta: DatasetMeta, users: pl.DataFrame, wanted: Sequence[str]) -> list[str]:
    """The groups that are pooled, of each item type."""
    groups = [STRONG] if "history" in wanted else []
    if meta.weak and "weak" in wanted:
        groups.append(WEAK)
    if "weak-apart" in wanted:
        groups += [weak_group(signal) for signal in meta.weak]
    chosen = schemas.ONBOARDING_ITEMS in users.columns and users[schemas.ONBOARDING_ITEMS].list.len().sum()
    return [*groups, ONBOARDING] if chosen and "onboarding" in wanted else groups


def _vocabularies(
    meta: DatasetMeta, users: pl.DataFrame, bare: FeatureSpec, settings: TowersSection
) -> dict[str, tuple[str, ...]]:
    bins = tuple(str(i) for i in range(len(bare.age_edges) + 1))
    found = {
        name: bins if name == schemas.AGE and _has_values(users, name) else _common_values(users, name)
        for name in _categorical(meta, users, settings)
    }
    return {name: words for name, words in found.items() if words}


def _categorical(meta: DatasetMeta, users: pl.DataFrame, settings: TowersSection) -> list[str]:
    """The categorical features that are wanted; raises InputError for one by name that the users do not have."""
    there = [n for n in (schemas.COUNTRY, schemas.AGE, *meta.user_categorical) if _has_values(users, n)]
    if missing := [name for name in settings.categorical or () if name not in there]:
        raise InputError(
            f"the users have no feature {missing[0]!r}",
            where=f"towers.categorical = {list(settings.categorical or ())}",
            expected=did_you_mean(missing[0], there),
            fix="map it in the [users] table of the dataset card (columns, or categorical), or leave it out",
        )
    names = list(there if settings.categorical is None else settings.categorical)
    names = names if "demographics" in settings.user_inputs else []
    return [*names, schemas.ONBOARDING_LANGUAGES] if "onboarding" in settings.user_inputs else names


def categorical_table(spec: FeatureSpec, users: pl.DataFrame) -> npt.NDArray[np.int32]:
    """Categorical ids int32 [num_users, len(spec.categorical)]."""
    columns = [spec.encode(name, _values(users, name).to_list()) for name in spec.categorical]
    return np.stack(columns, axis=1) if columns else np.zeros((users.height, 0), dtype=np.int32)


def user_features(
    dataset: Dataset,
    spec: FeatureSpec,
    embeddings: Vectors,
    before: datetime | None,
    settings: TowersSection,
    vectors: tuple[UserVectors, ...] = (),
) -> UserFeatures:
    """What the towers know of every user as of ``before`` (None: all of train).

    For training ``before`` is ``meta.label_start`` with ``fit`` embeddings, for serving ``meta.cutoff`` with
    ``serve`` embeddings; ``embeddings`` maps item type to float32 [num_items, spec.embedding_dim]. The histories are
    there whether they are pooled or not: they also tell who is warm and who is cold. ``vectors`` are those of
    ``spec.vectors``, as of ``before``.
    """
    histories = tower_histories(dataset, before, settings)
    categorical = categorical_table(spec, known_users(dataset.users(), before))
    return UserFeatures(spec, histories, embeddings, categorical, vectors)


def tower_histories(dataset: Dataset, before: datetime | None, settings: TowersSection) -> Histories:
    """The histories that the user tower can pool, as of ``before``."""
    apart, half_life = "weak-apart" in settings.user_inputs, settings.half_life_days
    histories = read_histories(dataset, before, settings.history_days, settings.max_history, apart, half_life)
    return histories | (read_onboarding(dataset, before) if "onboarding" in settings.user_inputs else {})


def _has_values(users: pl.DataFrame, name: str) -> bool:
    return name in users.columns and users[name].null_count() < users.height


def _values(users: pl.DataFrame, name: str) -> pl.Series:
    """The values of a categorical feature: of a list all its members in one, of which the order is no matter."""
    values = users[name]
    if not isinstance(values.dtype, pl.List):
        return values
    joined = values.list.unique().list.sort().list.join(schemas.GENRE_SEPARATOR)
    return joined.set(joined == "", None)


def _common_values(users: pl.DataFrame, name: str) -> tuple[str, ...]:
    if name not in users.columns:
        return ()
    counts = _values(users, name).drop_nulls().value_counts().filter(pl.col("count") >= _MIN_USERS)
    return tuple(sorted(counts[name].to_list()))
