"""The balanced multi-link sampler (paper 4.1.3): which links an epoch trains on, in which batches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import torch

from graphkit.config.hgnn import HgnnSection
from graphkit.errors import ConfigError, did_you_mean
from graphkit.graph.store import Relation
from graphkit.hgnn.links import LinkSets
from graphkit.training.device import generator

#: No batch takes more than this share of a relation's links: they are hidden from message passing while they
#: are predicted, and a small graph whose every link were hidden would have nothing to pass.
MAX_HIDDEN_SHARE: Final = 0.1


def draw_counts(available: dict[Relation, int], config: HgnnSection) -> dict[Relation, int]:
    """How many links an epoch draws per relation, of how many there are.

    Balanced: as many of each as ``reference_relation`` has, or else the smallest relation that has any, but at
    least ``min_edges_per_relation`` and at most ``max_edges_per_relation``. Unbalanced: all, or, where the
    largest relation exceeds the cap, the share of each that brings it down to the cap. Never more than there are.
    Raises ConfigError for a reference relation that is not there or has no link.
    """
    present = {relation: count for relation, count in available.items() if count}
    if not present:
        return {}
    standard = _of_reference(present, config.reference_relation)
    if config.sampler == "balanced":
        wanted = min(max(standard, config.min_edges_per_relation), config.max_edges_per_relation)
        return {relation: min(count, wanted) for relation, count in present.items()}
    share = min(1.0, config.max_edges_per_relation / max(present.values()))
    return {relation: max(1, round(count * share)) for relation, count in present.items()}


def _of_reference(present: dict[Relation, int], reference: str | None) -> int:
    if reference is None:
        return min(present.values())
    by_name = {relation.name: count for relation, count in present.items()}
    if reference not in by_name:
        raise ConfigError(
            f"no relation {reference!r} to train on",
            where="hgnn.reference_relation",
            expected="a relation of the graph that has edges",
            fix=did_you_mean(reference, by_name),
        )
    return by_name[reference]


def draw_epoch(links: LinkSets, counts: dict[Relation, int], seed: int, epoch: int) -> LinkSets:
    """``counts`` links per relation for ``epoch`` (1 is the first), none twice, in random order.

    Epochs go round a random permutation of a relation's links, and round another one once it is through: of n links,
    every one is drawn within ceil(n / count) epochs. Depends on the seed, the relation and the epoch alone.
    """
    return {r: links[r].take(_positions(links, r, count, seed, epoch)) for r, count in counts.items()}


def _positions(links: LinkSets, relation: Relation, count: int, seed: int, epoch: int) -> torch.Tensor:
    available, device = len(links[relation]), links[relation].src.device
    lap, turn = divmod(epoch - 1, math.ceil(available / count))
    draw = generator(device, seed, "links", *relation, lap)
    order = torch.randperm(available, generator=draw, device=device)
    place = torch.arange(turn * count, (turn + 1) * count, device=device)
    return order[place % available]  # the last turn of a lap is filled up from the lap's first links


def coverage(counts: dict[Relation, int], available: dict[Relation, int], epochs: int) -> dict[Relation, float]:
    """The share of a relation's links that the first ``epochs`` epochs drew at least once."""
    return {relation: min(1.0, epochs * count / available[relation]) for relation, count in counts.items()}


def batches(drawn: LinkSets, available: dict[Relation, int], batch_size: int) -> Iterator[LinkSets]:
    """Cut an epoch's draw into batches of at most ``batch_size`` links, every relation mixed evenly into each."""
    number = num_batches({r: len(links) for r, links in drawn.items()}, available, batch_size)
    for i in range(number):
        batch = {}
        for relation, links in drawn.items():
            cut = torch.arange(len(links) * i // number, len(links) * (i + 1) // number, device=links.src.device)
            if len(cut):
                batch[relation] = links.take(cut)
        if batch:
            yield batch


def num_batches(counts: dict[Relation, int], available: dict[Relation, int], batch_size: int) -> int:
    """Batches of an epoch: by size, and enough of them to respect ``MAX_HIDDEN_SHARE``."""
    by_size = math.ceil(sum(counts.values()) / batch_size)
    by_share = (math.ceil(count / (MAX_HIDDEN_SHARE * available[r])) for r, count in counts.items())
    return max(by_size, *by_share)
