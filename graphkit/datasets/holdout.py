"""A seeded hold-out for data without time: cold users lose a whole type, warm ones a share of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas

#: Share of a target type's users with another type whose rows of the target are all held out.
COLD_SHARE: Final = 0.1

_PAIR = (schemas.USER, schemas.ITEM)


def held_out(
    rows: pl.DataFrame, targets: Sequence[str], strong: Sequence[str], share: float, rng: np.random.Generator
) -> pl.Series:
    """Which rows of the interactions to hold out: bool [num_rows].

    For each target type 10 % of the users with strong rows of it and rows of another type become cold: all
    their rows of the type are held out. A user is cold for one type at most, and keeps all other rows. Of
    every other user with two or more items of the type, ``share`` of them (rounded down, at least one, never
    all) are held out, under every signal: a follow that stayed behind would give the stream away.
    """
    types_met = rows.select(schemas.USER, schemas.ITEM_TYPE).unique()[schemas.USER].to_numpy()
    mixed = np.bincount(types_met) > 1
    pairs = {target: _strong_pairs(rows, target, strong) for target in targets}
    cold = _draw_cold(pairs, mixed, rng)
    is_cold = np.any(list(cold.values()), axis=0)
    parts = []
    for target in targets:
        chosen = _draw_warm(pairs[target].filter(~pl.Series(is_cold).gather(pairs[target][schemas.USER])), share, rng)
        all_of = rows.filter(pl.col(schemas.ITEM_TYPE) == target).select(_PAIR).unique()
        whole = all_of.filter(pl.Series(cold[target]).gather(all_of[schemas.USER]))
        parts.append(pl.concat([chosen, whole]).with_columns(pl.lit(target).alias(schemas.ITEM_TYPE)))
    marked = pl.concat(parts).with_columns(pl.lit(True).alias("held_out"))
    keys = [*_PAIR, schemas.ITEM_TYPE]
    joined = rows.select(keys).join(marked, on=keys, how="left", maintain_order="left")
    return joined["held_out"].fill_null(False)


def _strong_pairs(rows: pl.DataFrame, target: str, strong: Sequence[str]) -> pl.DataFrame:
    of_target = (pl.col(schemas.ITEM_TYPE) == target) & pl.col(schemas.SIGNAL).is_in(list(strong))
    return rows.filter(of_target).select(_PAIR).unique().sort(_PAIR)


def _draw_cold(
    pairs: dict[str, pl.DataFrame], mixed: npt.NDArray[np.bool_], rng: np.random.Generator
) -> dict[str, npt.NDArray[np.bool_]]:
    free = mixed.copy()
    cold = {}
    for target, frame in pairs.items():
        candidates = frame[schemas.USER].unique().sort().to_numpy()
        candidates = candidates[free[candidates]]
        mask = np.zeros(len(mixed), dtype=np.bool_)
        mask[rng.permutation(candidates)[: int(COLD_SHARE * len(candidates))]] = True
        free &= ~mask
        cold[target] = mask
    return cold


def _draw_warm(pairs: pl.DataFrame, share: float, rng: np.random.Generator) -> pl.DataFrame:
    size = pl.len().over(schemas.USER)
    wanted = (size * share).floor().clip(1, None)
    count = pl.min_horizontal(wanted, size.cast(pl.Float64) - 1)
    rank = pl.col("draw").rank("ordinal").over(schemas.USER)
    return pairs.with_columns(pl.Series("draw", rng.random(pairs.height))).filter(rank <= count).select(_PAIR)
