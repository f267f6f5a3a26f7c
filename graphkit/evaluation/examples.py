"""Lists that one can read: a user's history, what was recommended, and what the user then played."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.datasets.store import Dataset
from graphkit.evaluation.groups import COLD, WARM
from graphkit.evaluation.metrics import LIST_LENGTH
from graphkit.evaluation.ranking import Ranker
from graphkit.evaluation.recommender import Recommender

FAILURE: Final = "failure"
SUCCESS: Final = "success"
#: Titles shown of a history (per type), of a list, and of what was played.
_SHOWN: Final = 10

Longs = npt.NDArray[np.int64]


def read_examples(dataset: Dataset, model: Recommender, rankers: Mapping[str, Ranker], count: int) -> list[Any]:
    """``count`` users per target type and group whose first ten hold none of their test items, and one whose do.

    Drawn by the ranker's seed among the first 2,000 users of the group in a seeded order.
    """
    titles = {t: _titles(dataset, t) for t in dataset.meta.types} if count else {}
    found = []
    for item_type, ranker in rankers.items() if count else ():
        rng = np.random.default_rng([ranker.seed, 2])
        for group in (WARM, COLD):
            rows = rng.permutation(ranker.task.members(group))[:2000]
            lists = ranker.lists(model, rows, LIST_LENGTH)
            hit = np.array([_hits(ranker, row, top[:10]).any() for row, top in zip(rows, lists, strict=True)], bool)
            chosen = [*np.flatnonzero(~hit)[:count], *np.flatnonzero(hit)[:1]]
            for at in chosen:
                kind = SUCCESS if hit[at] else FAILURE
                place = {"target_type": item_type, "group": group, "kind": kind}
                found.append(place | _one(ranker, rows[at], lists[at], titles[item_type]))
    return _with_history(dataset, found, titles)


def _hits(ranker: Ranker, row: int, items: Longs) -> npt.NDArray[np.bool_]:
    return np.isin(items, ranker.task.positives.of(ranker.task.users[row]))


def _one(ranker: Ranker, row: int, top: Longs, titles: list[str]) -> dict[str, Any]:
    user = int(ranker.task.users[row])
    listed = top[top >= 0]
    hits = _hits(ranker, row, listed)
    played = ranker.task.positives.of(user)[:_SHOWN]
    rank = {int(item): place for place, item in enumerate(listed, start=1)}
    return {
        "user": user,
        "recommended": [
            {"title": titles[item], "hit": bool(hit)} for item, hit in zip(listed[:_SHOWN], hits, strict=False)
        ],
        "played": [
            {
                "title": titles[item],
                "rank": rank.get(int(item)),
                "train_listeners": int(ranker.segments.num_listeners[item]),
            }
            for item in played
        ],
    }


def _with_history(dataset: Dataset, examples: list[dict[str, Any]], titles: dict[str, list[str]]) -> list[Any]:
    """The users' ids and last train titles per type, newest first (by item number without timestamps)."""
    if not examples:
        return []
    users = sorted({example["user"] for example in examples})
    rows = dataset.interactions(schemas.TRAIN).filter(pl.col(schemas.USER).is_in(users))
    key = [schemas.USER, schemas.ITEM_TYPE, schemas.ITEM]
    met = rows.group_by(key).agg(pl.col(schemas.TIMESTAMP).max())
    order = [schemas.TIMESTAMP, schemas.ITEM]
    frame = met.sort(order, descending=[True, False], nulls_last=True).collect()
    history: dict[int, dict[str, list[str]]] = {user: {} for user in users}
    for user, item_type, item in frame.select(key).iter_rows():
        shown = history[user].setdefault(item_type, [])
        if len(shown) < _SHOWN:
            shown.append(titles[item_type][item])
    table = dataset.users()
    ids = table[schemas.USER_ID] if schemas.USER_ID in table.columns else table[schemas.USER].cast(pl.String)
    return [
        {**{k: v for k, v in example.items() if k != "user"}, "user_id": ids[example["user"]], "history": h}
        for example in examples
        for h in [history[example["user"]]]
    ]


def _titles(dataset: Dataset, item_type: str) -> list[str]:
    items = dataset.items(item_type)
    return items[schemas.TITLE].fill_null(items[schemas.ITEM_ID]).to_list()
