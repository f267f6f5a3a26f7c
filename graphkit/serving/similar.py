"""Items like an item: cosine of HGNN embeddings, within its type or in another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from graphkit.errors import InputError, did_you_mean
from graphkit.serving.recommend import ranked, require_positive

if TYPE_CHECKING:
    from graphkit.serving.bundle import Bundle

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class SimilarItems:
    """Nearest first; ``rows`` are as in Recommendations, with the cosine as the score."""

    item_id: str
    item_type: str
    within: str
    rows: list[dict[str, Any]]
    source: str = "hgnn"
    note: str = ""


def similar(
    bundle: Bundle, item_id: str, item_type: str | None = None, within: str | None = None, k: int = 10
) -> SimilarItems:
    """The ``k`` items of type ``within`` (default: the item's own) nearest to an item, exactly.

    ``item_type`` is needed only where types share an id. Raises InputError for an unknown item or type, an
    id that several types share, and k < 1.
    """
    for name in (item_type, within):
        if name is not None and name not in bundle.meta.types:
            raise InputError(
                f"the bundle has no item type {name!r}",
                where=str(bundle.folder),
                expected=did_you_mean(name, bundle.meta.types),
            )
    require_positive(k)
    own_type, item = bundle.catalogue.find(item_id, item_type)
    within = within or own_type
    query = bundle.embeddings[own_type][item]
    if not query.any():
        return SimilarItems(item_id, own_type, within, [], note="nothing is known of this item: its vector is zero")
    cosine = _cosine(bundle.embeddings[within], query)
    if within == own_type:
        cosine[item] = -np.inf
    order = np.argsort(-cosine, kind="stable")[: min(k, len(cosine) - (within == own_type))]
    rows = ranked(bundle, within, order, cosine[order])
    note = "" if len(rows) == k else f"fewer than {k}: these are all {len(rows)} items"
    return SimilarItems(item_id, own_type, within, rows, note=note)


def _cosine(vectors: Floats, query: Floats) -> Floats:
    """Cosines [num_items]; 0 for a zero vector."""
    length = np.linalg.norm(vectors, axis=1) * np.linalg.norm(query)
    cosine: Floats = vectors @ query
    np.divide(cosine, length, out=cosine, where=length > 0)
    return cosine
