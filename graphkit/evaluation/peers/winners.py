"""Which setting of a peer serves which cell: the best on its validation users, or on more where they are few."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from graphkit.evaluation.groups import COLD, WARM
from graphkit.evaluation.peers.peer import Setting
from graphkit.evaluation.peers.trials import DECIMALS, Score

#: A cell with fewer validation users is tuned together with others.
MIN_USERS: Final = 50
#: What a winner was chosen on.
CELL: Final = "the cell's own users"
GROUP: Final = "the group's users over all types"
EVERYBODY: Final = "all users over all types"
NOBODY: Final = "nobody: there are no validation users, so the first setting stands"

Winners = dict[str, dict[str, dict[str, Any]]]


def choose(scores: Sequence[Score], targets: Iterable[str], default: Setting) -> Winners:
    """Per target type and group: ``setting``, its ``ndcg`` over the ``num_users`` it was ``chosen_on``.

    Of equal settings the first tried wins. ``unconverged`` is there, and True, where the setting takes all of its
    epochs and its score was still rising at the last of them.
    """
    return {target: {group: _winner(scores, target, group, default) for group in (WARM, COLD)} for target in targets}


def _winner(scores: Sequence[Score], target: str, group: str, default: Setting) -> dict[str, Any]:
    scopes: list[tuple[str, Callable[[Score], bool]]] = [
        (CELL, lambda score: (score.target_type, score.group) == (target, group)),
        (GROUP, lambda score: score.group == group),
        (EVERYBODY, lambda score: True),
    ]
    for number, (chosen_on, within) in enumerate(scopes):
        pooled = _pooled([score for score in scores if within(score)])
        if pooled and (pooled[0][2] >= MIN_USERS or number == len(scopes) - 1):
            setting, ndcg, num_users = max(pooled, key=lambda row: row[1])
            found = {"setting": setting, "ndcg": ndcg, "num_users": num_users, "chosen_on": chosen_on}
            return found | ({"unconverged": True} if _rising(pooled, setting) else {})
    return {"setting": dict(default), "ndcg": None, "num_users": 0, "chosen_on": NOBODY}


def _pooled(scores: Iterable[Score]) -> list[tuple[dict[str, float], float, int]]:
    """(setting, mean NDCG@10 over all users, how many), in the order of the settings."""
    sums: dict[str, tuple[float, int]] = {}
    for score in scores:
        total, users = sums.get(key := json.dumps(score.setting), (0.0, 0))
        sums[key] = (total + score.ndcg * score.num_users, users + score.num_users)
    return [(json.loads(key), round(total / users, DECIMALS), users) for key, (total, users) in sums.items()]


def _rising(pooled: Iterable[tuple[dict[str, float], float, int]], winner: dict[str, float]) -> bool:
    """Whether ``winner`` is the last stop of its training and better than the one before."""
    if "epochs" not in winner:
        return False
    mine = [row for row in pooled if {**row[0], "epochs": 0} == {**winner, "epochs": 0}]
    stops = sorted(mine, key=lambda row: row[0]["epochs"])
    return stops[-1][0] == winner and (len(stops) == 1 or stops[-1][1] > stops[-2][1])
