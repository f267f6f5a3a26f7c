"""Reasons for recommendations: what of the user's speaks for each item."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from graphkit.histories import ONBOARDING, STRONG, Pool
from graphkit.serving.paths import Node
from graphkit.user_features import UNKNOWN

if TYPE_CHECKING:
    from graphkit.serving.bundle import Bundle

#: A reason's edge is one whose weight was learned, or one of the co-listening graph.
LEARNED: Final = "learned edge"
CO_LISTENING: Final = "co-listening"
#: Learned edges that are named for a recommendation, at most.
_MOST: Final = 3

Items = npt.NDArray[np.int64]


def explain(bundle: Bundle, user: int | None, item_type: str, items: Items, rows: list[dict[str, Any]]) -> str:
    """Add ``why`` to each row of ``items``: the user's own items that speak for it, and the way from there.

    The edges with learned weights come first, heaviest first. An item without one gets the heaviest path of the
    co-listening graph, over one edge or over two. Returns a note on the items that have neither: what the towers went
    by, and how many are popular where that weighs. None for the user: nothing is known, and nothing is added.
    """
    if user is None:
        for row in rows:
            row["why"] = []
        return ""
    learned = bundle.edges.supports(user, item_type, items, _MOST)
    own = {t: bundle.seen[Pool(t, STRONG)].of(user) for t in bundle.meta.types}
    bare = [place for place, supports in enumerate(learned) if not supports]
    paths = dict(zip(bare, bundle.adjacency.paths(own, item_type, items[bare]), strict=True))
    for place, (row, supports) in enumerate(zip(rows, learned, strict=True)):
        row["why"] = [
            _reason(bundle, LEARNED, Node(edge.item_type, edge.item), None, edge.weight) for edge in supports
        ]
        if path := paths.get(place):
            row["why"].append(_reason(bundle, CO_LISTENING, path.start, path.through, path.weight))
    unreached = items[[not row["why"] for row in rows]]
    if not len(unreached):
        return ""
    note = f"no co-listening path to {len(unreached)} of them: there {_went_by(bundle, user)}"
    if not bundle.meta.popularity_weight[f"{item_type}/{bundle.edges.group(user, item_type)}"]:
        return note
    popular = np.count_nonzero(np.isin(unreached, bundle.popular(item_type)[0]))
    return note + (f"; {popular} of these are popular lately" if popular else "")


def _reason(bundle: Bundle, source: str, start: Node, through: Node | None, weight: float) -> dict[str, Any]:
    middle = _named(bundle, through) if through is not None else None
    return _named(bundle, start) | {"through": middle, "weight": round(weight, 6), "source": source}


def _named(bundle: Bundle, node: Node) -> dict[str, Any]:
    about = bundle.catalogue.about(*node)
    return {"item_type": node.item_type, "item_id": about["item_id"], "title": about["title"]}


def _went_by(bundle: Bundle, user: int) -> str:
    """What the towers know of the user."""
    features = bundle.user_features
    spec = features.spec
    known = list(dict.fromkeys(_about(pool) for pool in spec.pools if len(features.histories[pool].of(user))))
    known += [
        name for name, value in zip(spec.categorical, features.categorical[user], strict=True) if value != UNKNOWN
    ]
    known += [f"{one.name} vector" for one in features.vectors if one.serve[user].any()]
    return f"the towers went by the user's {', '.join(known)}" if known else "the towers knew nothing of the user"


def _about(pool: Pool) -> str:
    return f"{pool.item_type} choices" if pool.group == ONBOARDING else f"{pool.item_type} history"
