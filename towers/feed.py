"""Seeded training batches: which examples an epoch takes, in which order, and their numpy inputs.

Everything an epoch draws comes from ``(seed, epoch)`` alone, so that a resumed run draws the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from graphkit.config.towers import TowersSection
from graphkit.user_features import UNKNOWN, FeatureSpec, UserFeatures
from towers.item_features import ItemFeatures
from towers.labels import Labels
from towers.negatives import Columns, batch_columns, no_negatives

T = TypeVar("T")
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Feed:
    """What a batch is made of: features of users and items, and each item's share of the examples."""

    users: UserFeatures
    items: dict[str, ItemFeatures]
    probability: dict[str, npt.NDArray[np.float32]]


class TowerBatch(NamedTuple):
    """One batch of one target type, as ``TowerPair`` takes it; it is, or is
    a part of, a batch of ``size`` examples."""

    item_type: str
    x: dict[str, Any]
    y: dict[str, npt.NDArray[Any]]
    size: int

    def part(self, rank: int, world: int) -> TowerBatch:
        """The examples of process ``rank`` of ``world``, with all columns and the weights of the whole batch."""
        if world == 1:
            return self
        mine = np.array_split(np.arange(self.size), world)[rank]
        user = {name: values[mine] for name, values in self.x["user"].items()}
        y = {name: values if name in ("probability", "times") else values[mine] for name, values in self.y.items()}
        return TowerBatch(self.item_type, self.x | {"user": user}, y, self.size)


def examples_per_type(available: dict[str, int], total: int | None, oversampling: float) -> dict[str, int]:
    """How many examples of each type an epoch takes: all, or ``total`` shared out.

    Types share evenly, so that a large one does not push a small one out of the epoch. But of none is taken more than
    ``oversampling`` times the share that is taken of all: a small type's examples would be learned by heart.
    """
    every = sum(available.values())
    left = every if total is None else min(total, every)
    share = min(1.0, oversampling * left / max(every, 1))
    most = {item_type: math.ceil(share * count) for item_type, count in available.items()}
    taken: dict[str, int] = {}
    by_size = sorted(most, key=lambda item_type: (most[item_type], item_type))
    for place, item_type in enumerate(by_size):
        taken[item_type] = min(most[item_type], max(1, left // (len(by_size) - place)))
        left -= taken[item_type]
    return {item_type: taken[item_type] for item_type in available}


def examples_per_epoch(labels: dict[str, Labels], settings: TowersSection) -> dict[str, int]:
    """How many of the examples ``labels`` of each type an epoch takes."""
    available = {item_type: len(label) for item_type, label in labels.items()}
    return examples_per_type(available, settings.examples_per_epoch, settings.oversampling)


def epoch_batches(
    feed: Feed, labels: dict[str, Labels], settings: TowersSection, rng: np.random.Generator
) -> Iterator[TowerBatch]:
    """One epoch: each batch of one type, types interleaved in proportion, in a seeded order."""
    count = examples_per_epoch(labels, settings)
    chosen: list[tuple[str, Ints]] = []
    for item_type, label in labels.items():
        drawn = rng.choice(len(label), count[item_type], replace=False)
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
    """The batch of the examples ``rows``; with ``rng``, some histories, categories, user vectors and item embeddings
    are dropped out and items of the catalogue are drawn as negatives."""
    users, items, item_type = labels.users[rows], labels.items[rows], labels.item_type
    drop = None
    if rng is not None:
        drop = (item_type, rng.random(len(rows)) < settings.history_dropout)
    pooled, categorical, vectors = feed.users.inputs(users, hide=(item_type, items), drop=drop)
    if rng is not None:
        categorical = np.where(rng.random(categorical.shape) < settings.category_dropout, UNKNOWN, categorical)
        vectors = vectors * kept_vectors(feed.users.spec, len(rows), settings.vector_dropout, rng)
    columns = batch_columns(items, feed.probability[item_type], settings.catalogue_negatives, rng)
    x = {
        "user": {"pooled": pooled, "categorical": categorical, "vectors": vectors},
        "item": _column_inputs(feed.items[item_type], columns, settings, rng),
    }
    return TowerBatch(item_type, x, _targets(labels, rows, columns, settings), len(rows))


def kept_vectors(
    spec: FeatureSpec, num_rows: int, dropout: float, rng: np.random.Generator
) -> npt.NDArray[np.float32]:
    """0 in the columns of the user vectors that are hidden from a row, whole vectors at a time, else 1: float32
    [num_rows, spec.vectors_dim]."""
    kept = (rng.random((num_rows, len(spec.vectors))) >= dropout).astype(np.float32)
    return np.repeat(kept, [one.dim for one in spec.vectors.values()], axis=1)


def _column_inputs(
    items: ItemFeatures, columns: Columns, settings: TowersSection, rng: np.random.Generator | None
) -> dict[str, Any]:
    """The item tower's inputs of the columns; with ``rng``, a share of them without the graph's embedding."""
    inputs = items.whole if columns.whole else items.inputs(columns.items)
    if rng is not None and settings.item_dropout:
        inputs = items.without_embedding(inputs, rng.random(len(columns.items)) < settings.item_dropout)
    return inputs._asdict()


def _targets(labels: Labels, rows: Ints, columns: Columns, settings: TowersSection) -> dict[str, npt.NDArray[Any]]:
    """What the losses take; an example without a negative weighs nothing."""
    excluded = no_negatives(labels.users[rows], columns, labels.liked)
    weight = np.array(~excluded.all(axis=1), dtype=np.float32)
    if labels.weak is not None:
        weight[labels.weak[rows]] *= settings.weak_weight
    probability = columns.probability if settings.inverse_probability else np.ones_like(columns.probability)
    return {
        "own": columns.own.astype(np.int32),
        "excluded": excluded,
        "probability": probability,
        "times": columns.times,
        "weight": weight / max(weight.sum(), np.finfo(np.float32).tiny),
    }


def ahead(batches: Iterator[T]) -> Iterator[T]:
    """The same batches in the same order, the next one made in a thread while this one is trained on."""
    with ThreadPoolExecutor(max_workers=1) as thread:
        waiting = thread.submit(next, batches, None)
        while (batch := waiting.result()) is not None:
            waiting = thread.submit(next, batches, None)
            yield batch
