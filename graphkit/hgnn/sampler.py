"""The balanced multi-link sampler (paper 4.1.3): which links an epoch trains on, in which batches."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

import torch

from graphkit.config.sections import HgnnSection
from graphkit.graph.store import Relation
from graphkit.hgnn.links import LinkSets

#: No batch takes more than this share of a relation's links: they are hidden from message passing while they
#: are predicted, and a small graph whose every link were hidden would have nothing to pass.
MAX_HIDDEN_SHARE: Final = 0.1


def draw_counts(available: dict[Relation, int], config: HgnnSection) -> dict[Relation, int]:
    """How many links an epoch draws per relation, of how many there are.

    Balanced: as many of each as the smallest relation that has any, but at least ``min_edges_per_relation``
    and at most ``max_edges_per_relation``. Unbalanced: all, or, where the largest relation exceeds the cap,
    the share of each that brings it down to the cap. Never more than there are.
    """
    present = {relation: count for relation, count in available.items() if count}
    if not present:
        return {}
    if config.sampler == "balanced":
        wanted = min(max(min(present.values()), config.min_edges_per_relation), config.max_edges_per_relation)
        return {relation: min(count, wanted) for relation, count in present.items()}
    share = min(1.0, config.max_edges_per_relation / max(present.values()))
    return {relation: max(1, round(count * share)) for relation, count in present.items()}


def draw_epoch(links: LinkSets, counts: dict[Relation, int], generator: torch.Generator) -> LinkSets:
    """A uniform draw without replacement of ``counts`` links per relation, in random order."""
    drawn = {}
    for relation, count in counts.items():
        order = torch.randperm(len(links[relation]), generator=generator, device=generator.device)
        drawn[relation] = links[relation].take(order[:count])
    return drawn


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
