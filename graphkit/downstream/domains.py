"""How alike the words are that users of two types meet: Kendall's rank correlation (CLUE, 6 and figure 5).

CLUE holds it beside how well vectors transfer from one domain to another; domains are the item types here.
"""

from __future__ import annotations

from itertools import combinations
from typing import Any, Final

import polars as pl
from scipy.stats import kendalltau

from graphkit import schemas
from graphkit.downstream.world import World

TOKEN: Final = "token"
_COUNT: Final = "count"


def domain_correlations(world: World) -> list[dict[str, Any]]:
    """For each pair of types: ``first``, ``second``, ``kendall`` (tau-b over all tokens of either, None without any
    spread), and how many ``tokens`` there are in all, and ``shared``.

    A token is a lower-case word of a title or description; it counts once for each train pair of a user and an item
    whose text has it, by a strong signal.
    """
    counts = _token_counts(world)
    types = [name for name in world.dataset.meta.types if counts.filter(pl.col(schemas.ITEM_TYPE) == name).height]
    return [_correlation(counts, *pair) for pair in combinations(types, 2)]


def _correlation(counts: pl.DataFrame, first: str, second: str) -> dict[str, Any]:
    one, other = (
        counts.filter(pl.col(schemas.ITEM_TYPE) == name).select(TOKEN, pl.col(_COUNT).alias(side))
        for name, side in ((first, "first"), (second, "second"))
    )
    both = one.join(other, on=TOKEN, how="full", coalesce=True).fill_null(0)
    tau = kendalltau(both["first"].to_numpy(), both["second"].to_numpy()).statistic
    return {
        "first": first,
        "second": second,
        "kendall": None if tau != tau else round(float(tau), 6),
        "tokens": both.height,
        "shared": both.filter((pl.col("first") > 0) & (pl.col("second") > 0)).height,
    }


def _token_counts(world: World) -> pl.DataFrame:
    """``item_type``, ``token``, ``count``."""
    key = [schemas.ITEM_TYPE, schemas.ITEM]
    known = world.moments[1].known(world.dataset, world.strong)
    met = known.select(schemas.USER, *key).unique().group_by(key).agg(pl.len().alias(_COUNT)).collect()
    texts = [pl.col(name).cast(pl.String).fill_null("") for name in (schemas.TITLE, schemas.DESCRIPTION)]
    words = pl.concat_str(texts, separator=" ").str.to_lowercase().str.extract_all(r"\w+").list.unique()
    tokens = world.dataset.items().select(*key, words.alias(TOKEN)).filter(pl.col(TOKEN).list.len() > 0)
    counted = tokens.explode(TOKEN).join(met, on=key).group_by(schemas.ITEM_TYPE, TOKEN).agg(pl.col(_COUNT).sum())
    return counted.sort(schemas.ITEM_TYPE, TOKEN)
