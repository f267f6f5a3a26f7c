"""How concentrated listening is on a few users and a few titles (paper figure 2A, observation 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import polars as pl

from graphkit import schemas
from graphkit.datasets.store import Dataset
from graphkit.describe.figures import Figure, Floats, NotMeasurable
from graphkit.describe.sample import Window

#: The curve's points: the most active 0 %, 5 %, …, 100 %.
STEPS: Final = tuple(i / 20 for i in range(21))
#: The paper's points on the two curves: 25 % of users, 20 % of titles.
TOP_USERS: Final = 0.25
TOP_TITLES: Final = 0.20
RESAMPLES: Final = 1000
#: The bootstrap tells amounts apart to this many significant digits.
_DIGITS: Final = 3


@dataclass(frozen=True)
class Concentration:
    """The share of all ``amount`` that the most active of ``count`` users or titles make.

    ``curve[i]`` belongs to the top ``steps[i]`` of them; ``top_share`` to the top ``top``. The intervals are
    a bootstrap over the users, or titles, themselves.
    """

    of: str
    amount: str
    count: int
    steps: tuple[float, ...]
    curve: list[Figure]
    top: float
    top_share: Figure
    gini: Figure


@dataclass(frozen=True)
class Listening:
    """The amount per user and per title of some target types; users without any do not count, titles do."""

    amount: str
    note: str
    by_user: Floats  # [num_users]
    by_title: dict[str, Floats]  # [num_items] of each type


def read_listening(dataset: Dataset, window: Window, targets: Sequence[str]) -> Listening:
    """Hours of ``targets``, or interactions where a row has no seconds (``note`` says so)."""
    rows = window.rows.filter(pl.col(schemas.ITEM_TYPE).is_in(list(targets)))
    total, untimed = rows.select(pl.len(), pl.col(schemas.SECONDS).null_count().alias("null")).collect().row(0)
    timed = total > 0 and untimed == 0
    note = "" if timed or not total else f"seconds are missing in {untimed / total:.1%} of the rows"
    # Whole tenths of a second add up to the same number in any order.
    value = (pl.col(schemas.SECONDS) * 10).round().cast(pl.Int64).sum() if timed else pl.len()
    by_user, by_title = (
        rows.group_by(keys).agg(value.alias("amount")).collect(engine="streaming")
        for keys in ([schemas.USER], [schemas.ITEM_TYPE, schemas.ITEM])
    )
    titles = {}
    for target in targets:
        found = by_title.filter(pl.col(schemas.ITEM_TYPE) == target)
        titles[target] = np.zeros(dataset.meta.num_items[target])
        titles[target][found[schemas.ITEM].to_numpy()] = found["amount"].to_numpy()
    users = by_user["amount"].to_numpy().astype(np.float64)
    return Listening("hours" if timed else "interactions", note, users, titles)


def concentration(amount: Floats, of: str, what: str, top: float, seed: int) -> Concentration | NotMeasurable:
    """The concentration curve of ``amount`` [count] over ``of`` (users, titles), measured in ``what``."""
    if not amount.sum() > 0:
        return NotMeasurable(f"no {what} in the window")
    exact = _curves(*_groups(amount, digits=None))[0]
    values, sizes = _groups(amount, _DIGITS)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(amount), sizes[0] / len(amount), size=RESAMPLES).astype(np.float64)
    draws = _curves(values, drawn[drawn @ values > 0])
    figures = [Figure.percentile(float(value), draws[:, i]) for i, value in enumerate(exact)]
    return Concentration(of, what, len(amount), STEPS, figures[:-1], top, figures[STEPS.index(top)], figures[-1])


def _groups(amount: Floats, digits: int | None) -> tuple[Floats, Floats]:
    """Distinct amounts, the largest first [k], and how many have each [1, k]."""
    if digits is not None:
        scale = 10.0 ** (digits - 1 - np.floor(np.log10(np.maximum(amount, 1e-9))))
        amount = np.round(amount * scale) / scale
    values, sizes = np.unique(amount, return_counts=True)
    return values[::-1], sizes[::-1][None].astype(np.float64)


def _curves(values: Floats, sizes: Floats) -> Floats:
    """The curve at ``STEPS`` and the Gini coefficient of each row of ``sizes`` [n, k]: float64 [n, 22].

    Gini = 2 ∫ C(x) dx - 1 of the concentration curve C, which starts with the largest amount.
    """
    members = np.cumsum(sizes, axis=1)
    share = np.cumsum(sizes * values, axis=1)
    members, share = members / members[:, -1:], share / share[:, -1:]
    start = np.zeros((len(sizes), 1))
    x, y = np.hstack([start, members]), np.hstack([start, share])
    area = ((y[:, 1:] + y[:, :-1]) / 2 * np.diff(x, axis=1)).sum(axis=1)
    points = np.array([np.interp(STEPS, *curve) for curve in zip(x, y, strict=True)])
    return np.hstack([points, (2 * area - 1)[:, None]])
