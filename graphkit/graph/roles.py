"""Roles of item types, which ``graph.exclude_relations`` may name in place of the types (paper, table 1)."""

from __future__ import annotations

from typing import Final

from graphkit import schemas
from graphkit.datasets.store import Dataset
from graphkit.errors import ConfigError

#: The target type with the fewest distinct strong train pairs (user, item): the paper's audiobooks.
SPARSE: Final = "sparse"
#: Every other type: the paper's podcasts.
ESTABLISHED: Final = "established"
ROLES: Final = (SPARSE, ESTABLISHED)

Roles = dict[str, tuple[str, ...]]


def type_roles(dataset: Dataset) -> Roles:
    """Which types have each role; of equally sparse targets the one the card names first is the sparse one.

    Scans the strong train rows. Raises ConfigError where the dataset names no target type.
    """
    if not dataset.meta.targets:
        raise ConfigError(
            "graph.exclude_relations names a role, and the dataset has no target type to tell the roles by",
            where=str(dataset.batch.folder),
            expected=f"one or more targets of {', '.join(dataset.meta.types)}",
            fix="set dataset.targets, or name the relations by their types",
        )
    counts = _strong_pairs(dataset)
    sparse = min(dataset.meta.targets, key=lambda target: counts.get(target, 0))
    return {SPARSE: (sparse,), ESTABLISHED: tuple(name for name in dataset.meta.types if name != sparse)}


def _strong_pairs(dataset: Dataset) -> dict[str, int]:
    rows = dataset.interactions(schemas.TRAIN, dataset.meta.strong)
    pairs = rows.select(schemas.ITEM_TYPE, schemas.USER, schemas.ITEM).unique()
    counts = pairs.group_by(schemas.ITEM_TYPE).len().collect(engine="streaming")
    return dict(counts.iter_rows())
