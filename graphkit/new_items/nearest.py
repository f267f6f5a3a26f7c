"""The catalogue items nearest to a few of the new ones: a look at whether their embeddings make sense."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import polars as pl

from graphkit import schemas
from graphkit.vectors import Vectors

SHOWN_ITEMS: Final = 3
SHOWN_NEIGHBOURS: Final = 5


def nearest_catalogue_items(
    items: pl.DataFrame, vectors: Vectors, catalogue: pl.DataFrame, embeddings: Vectors
) -> list[dict[str, Any]]:
    """For the first new items the catalogue items, of any type, with the largest inner product; a row a pair.

    ``vectors`` are the new items' [num_new, dim] by type, ``embeddings`` the catalogue's [num_items, dim].
    """
    rows = []
    for new in items.head(SHOWN_ITEMS).iter_rows(named=True):
        z = vectors[new[schemas.ITEM_TYPE]][new["row"]]
        scores = {t: matrix @ z for t, matrix in embeddings.items()}
        best = {t: np.argsort(-found, kind="stable")[:SHOWN_NEIGHBOURS] for t, found in scores.items()}
        pairs = [(float(scores[t][item]), t, int(item)) for t, of_type in best.items() for item in of_type]
        for rank, (score, item_type, item) in enumerate(sorted(pairs, key=lambda p: -p[0])[:SHOWN_NEIGHBOURS], 1):
            about = catalogue.row(by_predicate=_is(item_type, item), named=True)
            rows.append(
                {
                    "new_item": new[schemas.ITEM_ID],
                    "new_title": new[schemas.TITLE],
                    "rank": rank,
                    schemas.ITEM_ID: about[schemas.ITEM_ID],
                    schemas.ITEM_TYPE: item_type,
                    schemas.TITLE: about[schemas.TITLE],
                    "score": round(score, 4),
                }
            )
    return rows


def _is(item_type: str, item: int) -> pl.Expr:
    return (pl.col(schemas.ITEM_TYPE) == item_type) & (pl.col(schemas.ITEM) == item)
