"""Everything the towers stage reads: dataset, text features, item embeddings and user vectors, checked against each
other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np

from graphkit.artefacts import Batch
from graphkit.config.towers import TowersSection
from graphkit.datasets.store import Dataset
from graphkit.errors import ArtefactError, InputError
from graphkit.graph.store import FEATURES_FILE as TEXT_FILE
from graphkit.graph.store import FIT, SERVE
from graphkit.stages import STAGES
from graphkit.user_features import FeatureSpec, Floats, UserFeatures
from graphkit.user_vectors import UserVectors
from graphkit.vectors import EMBEDDINGS_FILE, Vectors, load_vectors
from towers.item_features import ItemFeatures, item_features
from towers.popularity import popularity_inputs
from towers.user_spec import feature_spec, user_features
from towers.vector_inputs import read_vectors, vector_inputs


@dataclass(frozen=True)
class Sources:
    """Item embeddings per snapshot (``fit``, ``serve``) and type, text vectors, which are those of both snapshots,
    per type, the items of each target type, and the user vectors that the settings name."""

    dataset: Dataset
    embeddings: dict[str, Vectors]
    text: Vectors
    items: dict[str, ItemFeatures]  # as of the start of the label period
    settings: TowersSection
    vectors: tuple[UserVectors, ...] = ()

    def training_users(self) -> UserFeatures:
        """Users as of the start of the label period, so that no feature knows a label."""
        return self._users(FIT)

    def serving_users(self) -> UserFeatures:
        """Users as of the cut-off."""
        return self._users(SERVE)

    def serving_items(self) -> dict[str, ItemFeatures]:
        """The target types' items as of the cut-off."""
        days, end = self.settings.popularity_days, self.features_end(SERVE)
        return {
            t: items.as_of(self.embeddings[SERVE][t], popularity_inputs(self.dataset, t, end, days))
            for t, items in self.items.items()
        }

    def pooled(self, snapshot: str) -> Vectors:
        """The item vectors that users' histories are means of, per type."""
        return self.text if self.settings.pooled == "text" else self.embeddings[snapshot]

    def features_end(self, snapshot: str) -> datetime | None:
        """What happens from this moment on is in no user feature of the snapshot; None: all of train is."""
        return self.dataset.meta.label_start if snapshot == FIT else self.dataset.meta.cutoff

    @cached_property
    def _spec(self) -> FeatureSpec:
        """The user tower's inputs, the same in both snapshots."""
        width = next(iter(self.pooled(FIT).values())).shape[1]
        spec = feature_spec(self.dataset, width, self.settings)
        return spec.model_copy(update={"vectors": vector_inputs(self.vectors)})

    def _users(self, snapshot: str) -> UserFeatures:
        vectors = self.vectors if snapshot == FIT else tuple(one.served for one in self.vectors)
        end = self.features_end(snapshot)
        return user_features(self.dataset, self._spec, self.pooled(snapshot), end, self.settings, vectors)


def read_sources(upstream: Mapping[str, Batch], settings: TowersSection) -> Sources:
    """Open the batches that the towers are made from, by stage; raises ArtefactError where their sizes disagree."""
    graph, hgnn = upstream["graph"], upstream["hgnn"]
    opened = Dataset.open(upstream["dataset"])
    encoded, text = load_vectors(graph.path(TEXT_FILE)), Vectors()
    stored = load_vectors(hgnn.path(EMBEDDINGS_FILE))
    embeddings: dict[str, Vectors] = {snapshot: {} for snapshot in (FIT, SERVE)}
    for item_type, count in opened.meta.num_items.items():
        for snapshot, vectors in embeddings.items():
            vectors[item_type] = _checked(hgnn, stored, f"{snapshot}/{item_type}", count)
        text[item_type] = _checked(graph, encoded, item_type, count)
    _check_width(hgnn, embeddings)
    targets = _targets(opened)
    days, end = settings.popularity_days, opened.meta.label_start
    popularity = {t: popularity_inputs(opened, t, end, days) for t in targets}
    items = {t: item_features(opened.items(t), text[t], embeddings[FIT][t], popularity[t], settings) for t in targets}
    user_vectors = read_vectors(upstream, settings.user_vectors, opened.meta)
    return Sources(opened, embeddings, text, items, settings, user_vectors)


def _targets(dataset: Dataset) -> tuple[str, ...]:
    if dataset.meta.targets:
        return dataset.meta.targets
    raise InputError(
        "the dataset names no target type",
        expected=f"one or more of {', '.join(dataset.meta.types)}",
        found="none",
        fix="set dataset.targets",
    )


def _checked(batch: Batch, vectors: Vectors, name: str, count: int) -> Floats:
    """The matrix ``name``, which must have one finite row an item."""
    matrix = vectors.get(name)
    if matrix is not None and matrix.ndim == 2 and len(matrix) == count and np.isfinite(matrix).all():
        return matrix
    raise ArtefactError(
        f"the vectors {name!r} do not fit the catalogue",
        where=str(batch.folder),
        expected=f"a finite matrix of {count} rows",
        found="none" if matrix is None else f"shape {list(matrix.shape)}, {np.isnan(matrix).sum()} NaN values",
        fix=f"run `{STAGES[batch.manifest.stage].command}` again",
    )


def _check_width(hgnn: Batch, embeddings: dict[str, Vectors]) -> None:
    widths = {f"{s}/{t}": matrix.shape[1] for s, vectors in embeddings.items() for t, matrix in vectors.items()}
    if len(set(widths.values())) > 1:
        raise ArtefactError(
            "the item embeddings have different widths",
            where=str(hgnn.path(EMBEDDINGS_FILE)),
            expected="one width for every type and snapshot",
            found=", ".join(f"{name}: {width}" for name, width in widths.items()),
            fix=f"run `{STAGES['hgnn'].command}` again",
        )
