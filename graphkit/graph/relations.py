"""Which relations the graph has, and what they are called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import combinations_with_replacement, product

from graphkit.config.sections import GraphSection
from graphkit.datasets.store import Dataset
from graphkit.errors import ConfigError, did_you_mean
from graphkit.graph.roles import ROLES, Roles, type_roles
from graphkit.graph.store import CO_LISTENING, LISTENING, USER_NODE, Relation


def graph_relations(dataset: Dataset, settings: GraphSection) -> list[Relation]:
    """The relations that ``settings`` leave to a dataset's graph; raises as ``kept_relations`` does.

    The dataset is scanned only where ``exclude_relations`` names a role.
    """
    return kept_relations(dataset.meta.types, settings.exclude_relations, settings.kinds, lambda: type_roles(dataset))


def kept_relations(
    types: Sequence[str],
    exclude: Sequence[str],
    kinds: Sequence[str] = (CO_LISTENING,),
    roles: Callable[[], Roles] = dict,
) -> list[Relation]:
    """The relations of each of ``kinds`` among ``types``, but the ones named in ``exclude``.

    Co-listening and playlists join every unordered pair of types (a type with itself too), the types in the order
    of ``types``; listening joins users to each type. In ``exclude`` either order will do, and a role stands for each
    of its types, unless a type has that very name (``roles`` is asked only where a role is named). Raises ConfigError
    for a name that is no relation, for an item type called ``user`` beside user nodes, and where nothing is left.
    """
    if LISTENING in kinds and USER_NODE in types:
        raise ConfigError(
            f"graph.kinds: an item type is called {USER_NODE!r}, as the nodes of users are",
            fix="rename the item type in the dataset card, or leave 'listening' out of graph.kinds",
        )
    relations = [relation for kind in dict.fromkeys(kinds) for relation in _of_kind(kind, types)]
    dropped = _named(relations, exclude, roles)
    kept = [relation for relation in relations if relation not in dropped]
    if not kept:
        raise ConfigError(
            "graph.exclude_relations leaves no relation",
            expected=f"at least one of {', '.join(relation.name for relation in relations)}",
            fix="exclude fewer relations",
        )
    return kept


def _of_kind(kind: str, types: Sequence[str]) -> list[Relation]:
    if kind == LISTENING:
        return [Relation(USER_NODE, LISTENING, item_type) for item_type in types]
    return [Relation(a, kind, b) for a, b in combinations_with_replacement(types, 2)]


def _named(relations: Sequence[Relation], names: Sequence[str], roles: Callable[[], Roles]) -> set[Relation]:
    """The relations that ``names`` mean."""
    meant, found = _meanings(relations, {}), Roles()
    if any(role in name for name in names if name not in meant for role in ROLES):
        types = {end for relation in relations for end in (relation.src, relation.dst)}
        found = {role: members for role, members in roles().items() if role not in types}
        meant = _meanings(relations, found)
    for name in names:
        if name not in meant:
            raise ConfigError(
                f"graph.exclude_relations: unknown relation {name!r}",
                expected=did_you_mean(name, [relation.name for relation in relations]),
                found="; ".join(f"{role}: {', '.join(members) or 'no type'}" for role, members in found.items()),
            )
    return {relation for name in names for relation in meant[name]}


def _meanings(relations: Sequence[Relation], roles: Roles) -> dict[str, set[Relation]]:
    meant: dict[str, set[Relation]] = {}
    for relation in relations:
        for name in _aliases(relation, roles):
            meant.setdefault(name, set()).add(relation)
    return meant


def _aliases(relation: Relation, roles: Roles) -> Iterator[str]:
    """Every name of a relation: by its types or their roles, in either order."""
    src, dst = (
        [end, *(role for role, types in roles.items() if end in types)] for end in (relation.src, relation.dst)
    )
    for a, b in product(src, dst):
        yield Relation(a, relation.kind, b).name
        yield Relation(b, relation.kind, a).name
