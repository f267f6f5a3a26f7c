"""How uneven the relations are, and what the balanced sampler makes of it (paper 4.1.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from graphkit.config.hgnn import HgnnSection
from graphkit.graph.store import Relation


@dataclass(frozen=True)
class RelationBalance:
    """One relation's undirected edges against two references, and how much of it a balanced epoch visits.

    ``over_target`` is the ratio to the ``reference_relation`` (None: there is none), ``over_smallest`` to the
    smallest relation that has an edge. ``visited`` is the share of its edges
    that one balanced epoch draws, out of those not held out for validation.
    """

    relation: str
    edges: int
    over_target: float | None
    over_smallest: float | None
    drawn: int
    visited: float


def balance(edges: Mapping[Relation, int], targets: Sequence[str], config: HgnnSection) -> list[RelationBalance]:
    """The balance of every relation, of their counts of undirected ``edges``."""
    reference = reference_relation(edges, targets)
    over = edges[reference] if reference else None
    smallest = min((count for count in edges.values() if count), default=None)
    trained = {relation: count - _held_out(count, config) for relation, count in edges.items()}
    drawn = balanced_draw(trained, config)
    return [
        RelationBalance(
            relation.name,
            count,
            count / over if over else None,
            count / smallest if smallest else None,
            drawn[relation],
            drawn[relation] / trained[relation] if trained[relation] else 0.0,
        )
        for relation, count in edges.items()
    ]


def reference_relation(edges: Mapping[Relation, int], targets: Sequence[str]) -> Relation | None:
    """The relation of the first target type with itself; of the next one where that is absent or empty."""
    own = (relation for target in targets for relation in edges if relation.src == relation.dst == target)
    return next((relation for relation in own if edges[relation]), None)


def balanced_draw(available: Mapping[Relation, int], config: HgnnSection) -> dict[Relation, int]:
    """Edges a balanced epoch draws per relation: as many as the ``reference_relation`` has (or the smallest relation
    that has any), within ``min_edges_per_relation`` and ``max_edges_per_relation``, never more than there are.

    The sampler's own rule, written here too because it lives beside torch; a test holds the two together.
    """
    smallest = min((count for count in available.values() if count), default=0)
    named = (count for relation, count in available.items() if relation.name == config.reference_relation)
    wanted = min(max(next(named, smallest), config.min_edges_per_relation), config.max_edges_per_relation)
    return {relation: min(count, wanted) for relation, count in available.items()}


def _held_out(count: int, config: HgnnSection) -> int:
    return min(int(config.validation_share * count), config.max_validation_edges)
