"""The next-item task of the downstream laboratory."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import downstream_world as world
import numpy as np
import polars as pl
import pytest
import torch

from graphkit.artefacts import Batch, Workspace
from graphkit.downstream.next_item import NextItem, NextItems, rank_metrics, rank_of_first
from graphkit.downstream.sequence_model import SequenceSide
from graphkit.downstream.specialists import latest_items
from graphkit.downstream.stage import evaluate_users
from graphkit.downstream.world import World

GOOD, RANDOM = "autoencoder", "clue"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Batch]:
    """A workspace with a perfect and a random encoder, and its batch; read only."""
    workspace = world.make_world(tmp_path_factory.mktemp("next-item"))
    world.write_encoder(workspace, GOOD, world.true_tastes())
    world.write_encoder(workspace, RANDOM, world.noise())
    return workspace, evaluate_users(workspace, world.quick_config("downstream.tasks=[next-item]"))


def prepared(workspace: Workspace) -> NextItems:
    found = NextItem().prepare(World.of(workspace.upstream("downstream"), world.quick_config()))
    assert isinstance(found, NextItems)
    return found


def figure(batch: Batch, metric: str, model: str) -> dict[str, Any]:
    rows = pl.read_parquet(batch.path("results.parquet")).filter(group="all", metric=metric, model=model)
    return rows.row(0, named=True)


def test_ranks_by_hand() -> None:
    items = np.array([[7, 1, 2, 3], [7, 1, 7, 3], [7, 1, 2, 3]])
    scores = np.array([[0.5, 0.9, 0.1, 0.6], [0.5, 0.9, 0.9, 0.1], [0.5, 0.1, 0.2, 0.3]])
    assert rank_of_first(scores, items, 0).tolist() == [3, 2, 1]
    found = rank_metrics(np.array([1, 3, 10, 11]))
    np.testing.assert_allclose(found["HR@1"], [1, 0, 0, 0])
    np.testing.assert_allclose(found["NDCG@10"], [1, 0.5, 1 / np.log2(11), 0])
    np.testing.assert_allclose(found["MRR"], [1, 1 / 3, 1 / 10, 1 / 11])


def test_equals_are_ranked_by_a_seeded_order_of_items_not_by_place() -> None:
    items = np.random.default_rng(0).permutation(2000).reshape(20, 100)
    ranks = rank_of_first(np.zeros((20, 100)), items, 0)
    assert 30 < ranks.mean() < 70
    assert ranks.tolist() != rank_of_first(np.zeros((20, 100)), items, 1).tolist()


def test_vectors_that_hold_the_taste_find_the_next_item(measured: tuple[Workspace, Batch]) -> None:
    _, batch = measured
    for metric in ("NDCG@10, sampled", "MRR, sampled", "NDCG@10, full", "MRR, full"):
        good, random = (figure(batch, metric, name) for name in (GOOD, RANDOM))
        assert good["low"] > random["high"]
        assert figure(batch, metric, f"BST + {GOOD}")["low"] > random["high"]
        assert good["difference_low"] > 0
    assert {"BST", "LightGCN", "BST + clue"} <= set(pl.read_parquet(batch.path("results.parquet"))["model"])


def test_the_next_item_is_the_first_new_one_of_each_type(measured: tuple[Workspace, Batch]) -> None:
    workspace, _ = measured
    examples = prepared(workspace)
    lab = examples.world
    rows = lab.dataset.interactions().filter(pl.col("signal") == "stream").collect()
    known = lab.catalogue.pairs(lab.dataset.interactions("train"))
    met = rows.filter(pl.col("timestamp") >= world.CUTOFF).sort("timestamp")
    met = met.select(pl.col("user").cast(pl.Int64), lab.catalogue.column(), "item_type").join(
        known, on=["user", "item"], how="anti", maintain_order="left"
    )
    first = met.group_by("user", "item_type", maintain_order=True).first()
    expected = {
        (user, item) for user, _, item in first.select("user", "item_type", "item").rows() if lab.panel.test[user]
    }
    test = examples.parts.test
    assert set(zip(test.users.tolist(), test.items.tolist(), strict=True)) == expected
    assert len(test.users) == len(expected)


def test_the_pool_holds_others_of_the_type_that_the_user_never_meets(measured: tuple[Workspace, Batch]) -> None:
    workspace, _ = measured
    examples = prepared(workspace)
    lab, test = examples.world, examples.parts.test
    ever = set(lab.catalogue.pairs(lab.dataset.interactions()).rows())
    kinds = lab.catalogue.type_of
    assert examples.pool.shape == (len(test.users), 100)
    for user, item, others in zip(test.users.tolist(), test.items.tolist(), examples.pool, strict=True):
        assert set(kinds[others]) == {kinds[item]}
        assert not {(user, int(other)) for other in others} & ever


def test_a_full_ranking_leaves_out_what_the_user_had_met(measured: tuple[Workspace, Batch]) -> None:
    """A model that scores what was met above all else still finds the next item at the place after none of it."""
    workspace, _ = measured
    examples = prepared(workspace)
    wanted = dict(zip(examples.parts.test.users.tolist(), examples.parts.test.items.tolist(), strict=True))

    class Remembers:
        def pairs(self, pairs: Any) -> np.ndarray:
            return np.zeros(len(pairs.users), np.float32)

        def ranking(self, moment: str, users: np.ndarray, items: slice) -> np.ndarray:
            scores = 2 * examples.met[users].toarray()[:, items].astype(np.float32)
            for row, user in enumerate(users.tolist()):
                if items.start <= wanted[user] < items.stop:
                    scores[row, wanted[user] - items.start] = 1
            return scores

    ranks = examples._full(Remembers())
    last = np.array([wanted[user] for user in examples.parts.test.users.tolist()]) == examples.parts.test.items
    assert (ranks[last] == 1).all()


def test_latest_items_are_the_last_distinct_ones_before_the_moment(tmp_path: Path) -> None:
    rows = world.interactions().head(0)
    met = [(0, 5, 40), (0, 6, 50), (0, 5, 60), (0, 7, 10), (0, 8, -1), (2, 9, 45)]
    made = pl.DataFrame(
        {
            "user": [user for user, _, _ in met],
            "item_type": "podcast",
            "item": [item for _, item, _ in met],
            "signal": "stream",
            "timestamp": [world.CUTOFF - timedelta(days=days) for _, _, days in met],
            "seconds": None,
            "split": ["test" if days < 0 else "train" for _, _, days in met],
        }
    ).cast(dict(rows.schema))
    workspace = world.make_world(tmp_path, rows=made)
    lab = World.of(workspace.upstream("downstream"), world.quick_config("downstream.sequence_items=3"))
    fit, serve = (latest_items(lab, moment) for moment in lab.moments)
    start = world.ITEMS["audiobook"]
    assert fit[0].tolist() == [-1, start + 6, start + 5]
    assert serve[0].tolist() == [start + 6, start + 5, start + 7]
    assert serve[1].tolist() == [-1, -1, -1]
    assert serve[2].tolist() == [-1, -1, start + 9]


def test_the_transformer_heeds_order_and_ignores_what_is_not_there() -> None:
    torch.manual_seed(0)
    latest = torch.tensor([[-1, 0, 1], [-1, 1, 0], [-1, -1, -1], [-1, 0, 1]])
    items = torch.randn(3, 5)
    side = SequenceSide({"fit": latest}, {"fit": items}, "fit", 8, 1, 4).eval()
    out = side("fit", torch.arange(4))
    assert torch.equal(out[0], out[3])
    assert not torch.allclose(out[0], out[1])
    assert out.isfinite().all()
    changed = SequenceSide({"fit": latest}, {"fit": items}, "fit", 8, 1, 4).eval()
    changed.load_state_dict(side.state_dict())
    changed.item_tables = {"fit": torch.cat([items[:2], 100 + items[2:]])}  # an item that nobody met
    assert torch.equal(changed("fit", torch.arange(4)), out)
