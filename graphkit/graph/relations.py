"""Which pairs of item types the graph joins, and what they are called."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement

from graphkit.errors import ConfigError, did_you_mean
from graphkit.graph.store import Relation


def relation_name(relation: Relation) -> str:
    """As people and the configuration write it: ``audiobook-podcast``."""
    return "-".join(relation)


def kept_relations(types: Sequence[str], exclude: Sequence[str]) -> list[Relation]:
    """Every unordered pair of ``types`` (a type with itself too) but the ones named in ``exclude``.

    The types of a pair stand in the order of ``types``; in ``exclude`` either order will do. Raises
    ConfigError for a name that is no pair of types, and where nothing is left.
    """
    relations = list(combinations_with_replacement(types, 2))
    by_name = {relation_name((a, b)): (a, b) for a, b in relations}
    either_order = by_name | {relation_name((b, a)): (a, b) for a, b in relations}
    for name in exclude:
        if name not in either_order:
            raise ConfigError(
                f"graph.exclude_relations: unknown relation {name!r}", expected=did_you_mean(name, by_name)
            )
    dropped = {either_order[name] for name in exclude}
    kept = [relation for relation in relations if relation not in dropped]
    if not kept:
        raise ConfigError(
            "graph.exclude_relations leaves no relation",
            expected=f"at least one of {', '.join(by_name)}",
            fix="exclude fewer relations",
        )
    return kept
