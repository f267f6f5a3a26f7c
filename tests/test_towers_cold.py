"""Input dropout: users without a history and items without a place in the graph get sensible vectors.

In this world users and items are even or odd; an item's embedding and its genres both tell which.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from test_towers_feed import world_task
from towers_world import DIM, ITEMS, NUM_USERS, make_world

from graphkit.histories import STRONG, Pool
from towers.backend import prepare
from towers.epochs import build_towers, run_epoch
from towers.infer import embed_users, item_vectors
from towers.team import Alone

USERS = np.arange(1, NUM_USERS)


def margins(root: Path, *sets: str) -> dict[str, float]:
    """How much higher users score podcasts of their own kind: as they are; with the items' embeddings hidden; and
    of users whose podcasts are hidden."""
    prepare(0)
    task = world_task(make_world(root, timed=False), *sets)
    towers = build_towers(task)
    for epoch in range(1, 9):
        run_epoch(towers, task, epoch, Alone())
    podcasts, own = task.feed.items["podcast"], (USERS[:, None] + np.arange(ITEMS["podcast"])) % 2 == 0
    hidden = podcasts.as_of(np.zeros((ITEMS["podcast"], DIM), np.float32), podcasts.popularity)
    nothing = ("podcast", np.ones(len(USERS), dtype=bool))

    def margin(users: np.ndarray, items: np.ndarray) -> float:
        scores = users @ items.T
        return float(scores[own].mean() - scores[~own].mean())

    users = embed_users(towers.user, task.feed.users.inputs(USERS))
    cold = embed_users(towers.user, task.feed.users.inputs(USERS, drop=nothing))
    shown, unseen = (item_vectors(towers.items["podcast"], items) for items in (podcasts, hidden))
    return {"warm": margin(users, shown), "new items": margin(users, unseen), "cold users": margin(cold, shown)}


def test_items_without_an_embedding_and_users_without_a_history(tmp_path: Path) -> None:
    plain = margins(tmp_path / "plain", "towers.history_dropout=0", "towers.item_dropout=0")
    dropped = margins(tmp_path / "dropped", "towers.history_dropout=0.3", "towers.item_dropout=0.5")
    # Without dropout an item without an embedding loses most of what tells it apart; with it, hardly anything.
    assert plain["new items"] < 0.6 * plain["warm"], plain
    assert dropped["new items"] > 0.7 * dropped["warm"], dropped
    assert dropped["cold users"] > 0.8 * dropped["warm"] > 0.25, dropped


def test_the_world_has_cold_users_to_learn_from(tmp_path: Path) -> None:
    task = world_task(make_world(tmp_path, timed=False))
    assert all(len(task.feed.users.histories[Pool("podcast", STRONG)].of(user)) for user in USERS)
    assert (
        pytest.approx(task.feed.users.inputs(USERS, drop=("podcast", np.ones(len(USERS), bool))).pooled[:, -1]) == 0
    )
