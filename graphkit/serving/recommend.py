"""Recommendations for one user: the towers' score and the edges' in one; popularity where nothing is known."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from graphkit.errors import InputError, did_you_mean
from graphkit.histories import STRONG, Pool
from graphkit.serving.blend import Flags, blended_top
from graphkit.serving.filters import NO_FILTERS, Filters
from graphkit.serving.why import explain
from graphkit.user_features import UNKNOWN, UserInputs

if TYPE_CHECKING:
    from graphkit.serving.bundle import Bundle

TOWERS: Final = "towers"
BLEND: Final = "towers and edges"
POPULARITY: Final = "popularity"

Items = npt.NDArray[np.int64]
Scores = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Recommendations:
    """Best first; ``rows`` have rank, item_id, title, genre and score, and ``why`` where that was asked for.

    ``source`` is ``towers and edges`` (score: both in spreads over the catalogue, see ``blended_top``), ``towers``
    where no edge leads from the user's items (score: the same without them), or ``popularity`` (score: users who
    met the item lately). ``why`` lists the user's items that speak for the item (``item_type``, ``item_id``,
    ``title``) and the way from there: ``source`` is ``learned edge``, heaviest first, or, where none leads to the
    item, ``co-listening``, the heaviest path of the graph; ``through`` is the item in the middle (of the same three
    keys) or None, ``weight`` the product of the edges' weights. ``note`` says what is out of the ordinary.
    """

    user_id: str
    item_type: str
    source: str
    rows: list[dict[str, Any]]
    note: str = ""


def recommend(
    bundle: Bundle,
    user_id: str,
    item_type: str,
    k: int = 10,
    exclude_seen: bool = True,
    why: bool = False,
    filters: Filters = NO_FILTERS,
) -> Recommendations:
    """The ``k`` items of ``item_type`` for a user, without those seen in train (strong signals).

    A user who is unknown, or of whom no history and no feature is known, gets what is popular. ``why`` adds reasons.
    What ``filters`` and ``exclude_seen`` leave out is struck out of the full ranking, and the best ``k`` of the rest
    are listed; an approximate index can miss some, see ``blended_top``. Raises InputError for a type the bundle does
    not recommend, for k < 1 and for a language of no item.
    """
    require_target(bundle, item_type)
    require_positive(k)
    user = bundle.catalogue.user(user_id)
    listed = bundle.allowed(item_type, filters)
    allowed = listed.items.copy()
    if exclude_seen and user is not None:
        allowed[bundle.seen[Pool(item_type, STRONG)].of(user)] = False
    source, items, scores = _best(bundle, user, item_type, k, allowed)
    rows = ranked(bundle, item_type, items, scores)
    notes = []
    if source == POPULARITY:
        odd = "unknown user" if user is None else "user without history or features"
        notes.append(f"{odd}: what is popular")
    if len(rows) < k:
        notes.append(f"fewer than {k}: {_all_there_are(listed.items, allowed)}")
    notes.append(listed.note)
    if why:
        notes.append(explain(bundle, None if source == POPULARITY else user, item_type, items, rows))
    return Recommendations(user_id, item_type, source, rows, "; ".join(filter(None, notes)))


def ranked(bundle: Bundle, item_type: str, items: Items, scores: Scores) -> list[dict[str, Any]]:
    """Rows for people, ranks from 1."""
    names = bundle.catalogue.names(item_type, items)
    rounded = np.round(scores.astype(np.float64), 6).tolist()
    return [
        {"rank": rank, "item_id": item_id, "title": title, "genre": genre, "score": score}
        for rank, ((item_id, title, genre), score) in enumerate(zip(names, rounded, strict=True), start=1)
    ]


def require_target(bundle: Bundle, item_type: str) -> None:
    """Raise InputError unless the bundle recommends items of the type."""
    if item_type not in bundle.meta.targets:
        raise InputError(
            f"the bundle does not recommend {item_type!r}",
            where=str(bundle.folder),
            expected=did_you_mean(item_type, bundle.meta.targets),
        )


def require_positive(k: int) -> None:
    """Raise InputError unless ``k`` is at least 1."""
    if k < 1:
        raise InputError("k counts the items to list", expected="k of at least 1", found=str(k))


def blank_users(inputs: UserInputs) -> npt.NDArray[np.bool_]:
    """Of which users neither a pooled item nor a feature nor a vector is known: bool [n]."""
    known = inputs.pooled.any(axis=1) | (inputs.categorical != UNKNOWN).any(axis=1) | inputs.vectors.any(axis=1)
    blank: npt.NDArray[np.bool_] = ~known
    return blank


def _best(bundle: Bundle, user: int | None, item_type: str, k: int, allowed: Flags) -> tuple[str, Items, Scores]:
    """Where the scores come from, and the ``k`` best of the ``allowed`` items with theirs."""
    if user is None:
        return POPULARITY, *_popular(bundle, item_type, k, allowed)
    inputs, edges = bundle.user_features.inputs(np.array([user])), bundle.edges.scores(user, item_type)
    reached = len(edges.items) > 0
    if blank_users(inputs)[0] and not reached:
        return POPULARITY, *_popular(bundle, item_type, k, allowed)
    cell, along = f"{item_type}/{bundle.edges.group(user, item_type)}", edges.in_spreads()
    if popularity := bundle.meta.popularity_weight[cell]:
        items, part = bundle.popular(item_type)
        along = along.plus(items, np.float32(popularity) * part)
    vector = bundle.user_vectors(inputs)[0]
    found = blended_top(bundle.index(item_type), vector, along, bundle.meta.towers_weight[cell], k, allowed)
    return BLEND if reached else TOWERS, *found


def _popular(bundle: Bundle, item_type: str, k: int, allowed: Flags) -> tuple[Items, Scores]:
    order = bundle.by_popularity[item_type]
    items = order[allowed[order]][:k]
    return items, bundle.popularity[item_type][items].astype(np.float64)


def _all_there_are(by_filter: Flags, allowed: Flags) -> str:
    """Which items a list is that is shorter than was asked for."""
    all_items = int(by_filter.sum())
    seen = all_items - int(allowed.sum())
    of_filter = "" if by_filter.all() else " that the filter allows"
    return f"these are all {all_items} items{of_filter}" + (f", without the {seen} seen ones" if seen else "")
