"""Seeded training batches: which examples an epoch takes, in which order, and their numpy inputs.

Everything an epoch draws comes from ``(seed, epoch)`` alone, so that a resumed run draws the same.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from graphkit.config.sections import TowersSection
from graphkit.user_features import UNKNOWN, UserFeatures
from towers.item_features import ItemFeatures
from towers.labels import Labels

T = TypeVar("T")
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Feed:
    """What a batch is made of: features of users and items, and each item's share of the examples."""

    users: UserFeatures
    items: dict[str, ItemFeatures]
    probability: dict[str, npt.NDArray[np.float32]]


class TowerBatch(NamedTuple):
    """One batch of one target type, as ``TowerPair`` takes it."""

    item_type: str
    x: dict[str, Any]
    y: dict[str, npt.NDArray[Any]]

    @property
    def size(self) -> int:
        return len(self.y["probability"])


def examples_per_type(available: dict[str, int], total: int | None) -> dict[str, int]:
    """How many examples of each type an epoch takes: all, or ``total`` shared out.

    Rare types are kept whole and the others share the rest evenly, so that a large type does not push a
    small one out of the epoch.
    """
    taken, left = {}, sum(available.values()) if total is None else total
    by_size = sorted(available, key=lambda item_type: (available[item_type], item_type))
    for place, item_type in enumerate(by_size):
        taken[item_type] = min(available[item_type], max(1, left // (len(by_size) - place)))
        left -= taken[item_type]
    return {item_type: taken[item_type] for item_type in available}


def epoch_batches(
    feed: Feed, labels: dict[str, Labels], settings: TowersSection, rng: np.random.Generator
) -> Iterator[TowerBatch]:
    """One epoch: each batch of one type, types interleaved in proportion, in a seeded order."""
    count = examples_per_type({t: len(label) for t, label in labels.items()}, settings.examples_per_epoch)
    chosen: list[tuple[str, Ints]] = []
    for item_type, label in labels.items():
        drawn = rng.permutation(len(label))[: count[item_type]]
        chosen.extend((item_type, rows) for rows in equal_pieces(drawn, settings.batch_size))
    for place in rng.permutation(len(chosen)):
        item_type, rows = chosen[place]
        yield training_batch(feed, labels[item_type], rows, settings, rng)


def equal_pieces(rows: Ints, at_most: int) -> Ints:
    """``rows`` cut into pieces of one size <= ``at_most``: int [num_pieces, size].

    One size means one compilation. What does not divide, less than one row a piece, is left out; ``rows``
    are shuffled, so each epoch leaves out others.
    """
    pieces = -(-len(rows) // at_most)
    size = len(rows) // max(pieces, 1)
    return rows[: pieces * size].reshape(pieces, size)


def training_batch(
    feed: Feed, labels: Labels, rows: Ints, settings: TowersSection, rng: np.random.Generator | None = None
) -> TowerBatch:
    """The batch of the examples ``rows``; with ``rng``, some histories and categories are dropped out."""
    users, items, item_type = labels.users[rows], labels.items[rows], labels.item_type
    drop = None
    if rng is not None:
        drop = (item_type, rng.random(len(rows)) < settings.history_dropout)
    pooled, categorical = feed.users.inputs(users, hide=(item_type, items), drop=drop)
    if rng is not None:
        categorical = np.where(rng.random(categorical.shape) < settings.category_dropout, UNKNOWN, categorical)
    probability = feed.probability[item_type][items]
    if not settings.inverse_probability:
        probability = np.ones_like(probability)
    x = {
        "user": {"pooled": pooled, "categorical": categorical},
        "item": feed.items[item_type].inputs(items)._asdict(),
    }
    return TowerBatch(item_type, x, {"excluded": known_pairs(labels, users, items), "probability": probability})


def known_pairs(labels: Labels, users: Ints, items: Ints) -> npt.NDArray[np.bool_]:
    """Whether user k is known to like item n: bool [num_users, num_items], True on the batch's diagonal."""
    distinct, column = np.unique(items, return_inverse=True)
    row, item = labels.known.pairs(users)
    place = np.searchsorted(distinct, item)
    place[place == len(distinct)] = 0
    hit = distinct[place] == item
    known = np.zeros((len(users), len(distinct)), dtype=bool)
    known[row[hit], place[hit]] = True
    return known[:, column]


def ahead(batches: Iterator[T]) -> Iterator[T]:
    """The same batches in the same order, the next one made in a thread while this one is trained on."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        waiting = thread.submit(next, batches, None)
        while (batch := waiting.result()) is not None:
            waiting = thread.submit(next, batches, None)
            yield batch
