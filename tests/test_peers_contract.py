"""What every simple peer owes: two planted tastes found, the same scores again, and a number for everything."""

from __future__ import annotations

import json

import numpy as np
import pytest
from peers_world import COLD, NUM_USERS, SIZES, permuted, small_peers, two_tastes

from graphkit.config.sections import PEERS
from graphkit.evaluation.peers.optional import has_lightfm
from graphkit.evaluation.peers.peer import Peer
from graphkit.evaluation.recommender import Recommender

#: Peers without random numbers.
EXACT = ("popularity", "recent-popularity", "item-knn", "ease")
PERSONAL = tuple(name for name in PEERS if "popularity" not in name)
EVERYBODY = np.arange(NUM_USERS)


def peer_named(name: str) -> Peer:
    if name == "hybrid-mf" and not has_lightfm():
        pytest.skip("LightFM is not installed")
    return small_peers()[name]


def fitted(name: str, seed: int = 0, threads: int = 1) -> Recommender:
    peer = peer_named(name)
    return peer.fit(two_tastes().train, peer.settings[0], seed, threads)


def share_of_own_taste(model: Recommender, orders: dict[str, np.ndarray] | None = None) -> float:
    """How many users' best item among those they have not met is of their taste, over both types."""
    world, right = two_tastes(), []
    for name, taste in world.item_taste.items():
        order = np.arange(len(taste)) if orders is None else orders[name]
        scores = model.scores(EVERYBODY[:-1], name).copy()
        scores[world.train.likes[name][:, order].toarray()[:-1] > 0] = -np.inf
        right.append(taste[order][scores.argmax(axis=1)] == world.user_taste[:-1])
    return float(np.mean(right))


def best_of_its_settings(name: str, orders: dict[str, np.ndarray] | None = None) -> float:
    """The same for the best of the first six settings, as tuning would find it."""
    peer, train = peer_named(name), two_tastes().train
    train = train if orders is None else permuted(train, orders)
    return max(share_of_own_taste(peer.fit(train, setting, 0, 2), orders) for setting in peer.settings[:6])


def test_the_configuration_names_every_peer() -> None:
    assert tuple(small_peers()) == PEERS


@pytest.mark.parametrize("name", PEERS)
def test_settings_are_distinct_and_json(name: str) -> None:
    settings = [json.dumps(setting, sort_keys=True) for setting in small_peers()[name].settings]
    assert len(set(settings)) == len(settings) >= (1 if name == "popularity" else 6)


@pytest.mark.parametrize("name", PERSONAL)
def test_two_planted_tastes_are_found(name: str) -> None:
    assert best_of_its_settings(name) > 0.95


@pytest.mark.parametrize("name", PERSONAL)
def test_users_new_to_a_type_are_served_from_another(name: str) -> None:
    world, model = two_tastes(), fitted(name)
    users = np.array(COLD)
    scores = model.scores(users, "song")[:, :-1]
    own = world.item_taste["song"][None, :-1] == world.user_taste[users][:, None]
    assert (np.where(own, scores, 0).sum(axis=1) / own.sum(axis=1)).mean() > (
        np.where(~own, scores, 0).sum(axis=1) / (~own).sum(axis=1)
    ).mean()


@pytest.mark.parametrize("name", PEERS)
def test_everything_has_a_finite_score(name: str) -> None:
    model = fitted(name)
    for item_type, count in SIZES.items():
        scores = model.scores(EVERYBODY, item_type)
        assert scores.shape == (NUM_USERS, count)
        assert scores.dtype == np.float32
        assert np.isfinite(scores).all()
        assert model.scores(EVERYBODY[:0], item_type).shape == (0, count)
        np.testing.assert_allclose(
            model.scores(np.array([5, NUM_USERS - 1, 5]), item_type)[2], scores[5], rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize("name", PEERS)
def test_the_same_seed_gives_the_same_scores_on_two_threads(name: str) -> None:
    first, second = (fitted(name, seed=3, threads=2) for _ in range(2))
    for item_type in SIZES:
        np.testing.assert_array_equal(first.scores(EVERYBODY, item_type), second.scores(EVERYBODY, item_type))


@pytest.mark.parametrize("name", PEERS)
def test_the_order_of_items_means_nothing(name: str) -> None:
    rng = np.random.default_rng(1)
    orders = {item_type: rng.permutation(count) for item_type, count in SIZES.items()}
    if name not in EXACT:  # the random start belongs to other items now
        assert best_of_its_settings(name, orders) > 0.95
        return
    peer, train = peer_named(name), two_tastes().train
    before, moved = (peer.fit(data, peer.settings[0], 0, 1) for data in (train, permuted(train, orders)))
    for item_type, order in orders.items():
        expected = before.scores(EVERYBODY, item_type)[:, order]
        np.testing.assert_allclose(moved.scores(EVERYBODY, item_type), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", PEERS)
def test_a_path_ends_where_a_fit_of_its_setting_does(name: str) -> None:
    peer, train = peer_named(name), two_tastes().train
    for setting, model in peer.path(train, peer.settings[0], 7, 1):
        again = peer.fit(train, setting, 7, 1)
        np.testing.assert_array_equal(again.scores(EVERYBODY, "song"), model.scores(EVERYBODY, "song"))
