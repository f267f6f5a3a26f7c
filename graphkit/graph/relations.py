"""Which relations the graph has, and what they are called."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations_with_replacement

from graphkit.errors import ConfigError, did_you_mean
from graphkit.graph.store import CO_LISTENING, LISTENING, USER_NODE, Relation


def kept_relations(
    types: Sequence[str], exclude: Sequence[str], kinds: Sequence[str] = (CO_LISTENING,)
) -> list[Relation]:
    """The relations of each of ``kinds`` among ``types``, but the ones named in ``exclude``.

    Co-listening and playlists join every unordered pair of types (a type with itself too), the types in the order
    of ``types``; listening joins users to each type. In ``exclude`` either order will do. Raises ConfigError for a
    name that is no relation, for an item type called ``user`` beside user nodes, and where nothing is left.
    """
    if LISTENING in kinds and USER_NODE in types:
        raise ConfigError(
            f"graph.kinds: an item type is called {USER_NODE!r}, as the nodes of users are",
            fix="rename the item type in the dataset card, or leave 'listening' out of graph.kinds",
        )
    relations = [relation for kind in dict.fromkeys(kinds) for relation in _of_kind(kind, types)]
    by_name = {relation.name: relation for relation in relations}
    either_order = by_name | {relation.reverse.name: relation for relation in relations}
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


def _of_kind(kind: str, types: Sequence[str]) -> list[Relation]:
    if kind == LISTENING:
        return [Relation(USER_NODE, LISTENING, item_type) for item_type in types]
    return [Relation(a, kind, b) for a, b in combinations_with_replacement(types, 2)]
