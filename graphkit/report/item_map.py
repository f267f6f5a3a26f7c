"""A 2-d map of the item embeddings, coloured by type and by genre."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from graphkit import schemas
from graphkit.datasets.store import Dataset
from graphkit.report.map_panel import MapPanel, map_panel
from graphkit.tsne import place
from graphkit.vectors import Vectors

NUM_GENRES: Final = 8
#: Fewer items than this make no map.
MIN_ITEMS: Final = 10


@dataclass(frozen=True)
class ItemMap:
    """The panels, and how many items of how many they show."""

    panels: list[MapPanel]
    shown: int
    total: int


def item_map(dataset: Dataset, embeddings: Vectors, max_items: int, seed: int) -> ItemMap | None:
    """t-SNE of at most ``max_items`` items, as many of each type as of any other; None for too few items."""
    chosen = sample_items({name: len(matrix) for name, matrix in embeddings.items()}, max_items, seed)
    vectors = np.concatenate([embeddings[name][rows] for name, rows in chosen.items()])
    if len(vectors) < MIN_ITEMS:
        return None
    points = place(vectors, seed)
    order = np.random.default_rng(seed).permutation(len(points))  # so that no type lies on top of the others
    types = [name for name, rows in chosen.items() for _ in rows]
    about = "Scatter of item embeddings, coloured"
    panels = [map_panel("By item type", f"{about} by item type", points, types, list(chosen), order)]
    genres = _genres(dataset, chosen)
    if any(genres):
        known = Counter(genre for genre in genres if genre)
        named = [genre for genre, _ in known.most_common(NUM_GENRES)]
        panels.append(map_panel("By genre", f"{about} by genre", points, genres, named, order))
    return ItemMap(panels, len(points), sum(len(matrix) for matrix in embeddings.values()))


def sample_items(num_items: Mapping[str, int], max_items: int, seed: int) -> dict[str, npt.NDArray[np.int64]]:
    """Seeded rows per type, ascending, at most ``max_items`` in all; small types leave their share to others."""
    rng = np.random.default_rng(seed)
    left, chosen = max_items, {}
    smallest_first = sorted(num_items, key=lambda name: num_items[name])
    for i, name in enumerate(smallest_first):
        count = min(num_items[name], left // (len(smallest_first) - i))
        chosen[name] = np.sort(rng.choice(num_items[name], count, replace=False))
        left -= count
    return {name: chosen[name] for name in num_items}


def _genres(dataset: Dataset, chosen: Mapping[str, npt.NDArray[np.int64]]) -> list[str | None]:
    """The first genre of every chosen item."""
    found: list[str | None] = []
    for name, rows in chosen.items():
        genres = dataset.items(name)[schemas.GENRE][rows].to_list()
        found += [genre.split(schemas.GENRE_SEPARATOR)[0].strip() if genre else None for genre in genres]
    return found
