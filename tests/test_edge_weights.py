"""The learned weights of co-listening edges: against the closed form, for cold users, and blended with the towers."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import sparse

from graphkit.blend.popular import popular_part
from graphkit.blend.scorer import Blend
from graphkit.blend.weights import BlendWeights
from graphkit.edge_weights.ridge import across, count_shared, ridge_weights, strongest_edges
from graphkit.edge_weights.scorer import EdgeScorer
from graphkit.evaluation.peers.ease import fit_ease
from graphkit.evaluation.peers.train_data import TrainData

USERS, SIZES = 60, {"book": 9, "movie": 12}


def random_train(seed: int = 0, targets: tuple[str, ...] = ("book", "movie")) -> TrainData:
    rng = np.random.default_rng(seed)
    likes = {
        name: sparse.csr_array((rng.random((USERS, size)) < 0.5).astype(np.float32)) for name, size in SIZES.items()
    }
    return TrainData(likes, targets)


def scorer(train: TrainData, neighbours: int, l2: float = 2.0) -> EdgeScorer:
    edges = strongest_edges(train, neighbours, threads=1)
    groups = {"warm": edges, "cold": across(edges, train.columns)}
    weights = {
        (target, group): matrix
        for group, chosen in groups.items()
        for target, matrix in ridge_weights(count_shared(train, 2**30, 0), chosen, train.columns, [l2], threads=1)[
            0
        ].items()
    }
    return EdgeScorer(train.all_likes, train.columns, weights)


def test_with_every_edge_the_weights_are_those_of_ease() -> None:
    train = random_train()
    ease = fit_ease(train, 2.0, threads=1)
    ours = scorer(train, neighbours=100)
    for target, columns in train.columns.items():
        np.testing.assert_allclose(
            ours.weights[target, "warm"].toarray(), ease.weights[:, columns], rtol=1e-3, atol=1e-5
        )


def test_a_weight_is_the_ridge_regression_of_the_item_on_its_neighbours() -> None:
    train = random_train(1)
    x = train.all_likes.toarray().astype(np.float64)
    edges = strongest_edges(train, 3, threads=1)
    for found, l2 in zip(
        ridge_weights(count_shared(train, 2**30, 0), edges, train.columns, [0.5, 50], threads=2),
        (0.5, 50),
        strict=True,
    ):
        for target, columns in train.columns.items():
            matrix = found[target].toarray()
            for item in range(SIZES[target]):
                near = np.flatnonzero(edges[target].toarray()[:, item])
                assert len(near) == 6, "three of each type"
                wanted = np.linalg.solve(
                    x[:, near].T @ x[:, near] + l2 * np.eye(len(near)), x[:, near].T @ x[:, columns.start + item]
                )
                np.testing.assert_allclose(matrix[near, item], wanted, rtol=1e-4)
                assert np.flatnonzero(matrix[:, item]).tolist() == near.tolist()


def test_cold_users_are_scored_by_a_fit_that_knows_no_item_of_the_type() -> None:
    train = random_train(2)
    likes = {"book": train.likes["book"].toarray(), "movie": train.likes["movie"]}
    likes["book"][:5] = 0
    train = TrainData({"book": sparse.csr_array(likes["book"]), "movie": likes["movie"]}, ("book",))
    ours = scorer(train, neighbours=100)
    x, y = likes["movie"].toarray().astype(np.float64), likes["book"].astype(np.float64)
    alone = np.linalg.solve(x.T @ x + 2 * np.eye(x.shape[1]), x.T @ y)  # books on movies, no book among them
    np.testing.assert_allclose(ours.scores(np.arange(5), "book"), x[:5] @ alone, rtol=1e-3, atol=1e-4)
    whole = fit_ease(train, 2.0, threads=1)
    np.testing.assert_allclose(
        ours.scores(np.arange(5, 20), "book"), whole.scores(np.arange(5, 20), "book"), rtol=1e-3, atol=1e-4
    )


@given(seed=st.integers(0, 50), neighbours=st.integers(1, 12))
def test_of_edges_that_tie_no_more_than_asked_for_are_kept(seed: int, neighbours: int) -> None:
    rng = np.random.default_rng(seed)
    ones = {name: sparse.csr_array((rng.random((4, size)) < 0.6).astype(np.float32)) for name, size in SIZES.items()}
    train = TrainData(ones, ("book",))  # four users: nearly everything ties
    kept = strongest_edges(train, neighbours, threads=1)["book"].toarray() > 0
    shared = (train.all_likes.T @ train.all_likes).toarray()[:, train.columns["book"]] > 0
    np.fill_diagonal(shared, val=False)  # books come first
    for columns in train.columns.values():
        there = np.minimum(shared[columns].sum(axis=0), neighbours)
        assert kept[columns].sum(axis=0).tolist() == there.tolist()
    assert not (kept & ~shared).any()


class Fixed:
    name = "fixed"

    def __init__(self, scores: np.ndarray) -> None:
        self._scores = scores

    def scores(self, users: np.ndarray, item_type: str) -> np.ndarray:
        return self._scores[users]


def blend(
    edges: EdgeScorer, towers: np.ndarray, warm: float, cold: float, popular: np.ndarray | None = None
) -> Blend:
    """With what is popular weighing 3 for the cold and 0.25 for the warm."""
    weights = BlendWeights({"book/warm": warm, "book/cold": cold}, {"book/warm": 0.25, "book/cold": 3.0})
    nothing = np.zeros(towers.shape[1], np.float32)
    return Blend("b", edges, Fixed(towers), {"book": nothing if popular is None else popular}, weights)


def test_the_blend_adds_all_in_units_of_their_spread() -> None:
    likes = random_train(3).likes
    some = np.arange(USERS)[:, None] >= 4  # the others are cold
    train = TrainData(likes | {"book": sparse.csr_array(likes["book"].toarray() * some)}, ("book", "movie"))
    edges = scorer(train, neighbours=4)
    towers = np.random.default_rng(0).normal(size=(USERS, SIZES["book"])).astype(np.float32)
    users = np.arange(USERS)
    popular = popular_part(np.arange(SIZES["book"]))
    plain = blend(edges, towers, 0.5, 2.0, popular).scores(users, "book")
    scaled = blend(edges, 7 * towers + 3, 0.5, 2.0, popular).scores(users, "book")
    np.testing.assert_allclose(plain, scaled, atol=1e-4)
    along = edges.scores(users, "book")
    for user in users:
        weight, popularity = (0.5, 0.25) if train.likes["book"][[user]].nnz else (2.0, 3.0)
        spread = along[user].std()
        wanted = (
            (along[user] - along[user].mean()) / (spread or 1)
            + weight * (towers[user] - towers[user].mean()) / towers[user].std()
            + popularity * popular
        )
        np.testing.assert_allclose(plain[user], wanted, atol=1e-4)


def test_users_whom_no_edge_leads_on_are_the_towers_alone() -> None:
    train = TrainData({"book": sparse.csr_array((3, 4), dtype=np.float32)}, ("book",))
    empty = sparse.csr_array((4, 4), dtype=np.float32)
    edges = EdgeScorer(train.all_likes, train.columns, {("book", "warm"): empty, ("book", "cold"): empty})
    towers = np.array([[3.0, 1, 2, 0]] * 3, np.float32)
    blended = blend(edges, towers, 1.0, 1.0).scores(np.arange(3), "book")
    assert np.argsort(-blended, axis=1).tolist() == [[0, 2, 1, 3]] * 3


@pytest.mark.parametrize("threads", [1, 2])
def test_the_number_of_threads_changes_nothing(threads: int) -> None:
    train = random_train(4)
    edges = strongest_edges(train, 5, threads)
    shared = count_shared(train, 2**30, 0)
    once = ridge_weights(shared, strongest_edges(train, 5, 1), train.columns, [1.0], 1)[0]
    again = ridge_weights(shared, edges, train.columns, [1.0], threads)[0]
    for target in train.targets:
        np.testing.assert_array_equal(once[target].toarray(), again[target].toarray())


def test_a_sample_of_users_stands_for_all() -> None:
    rng = np.random.default_rng(6)
    likes = sparse.csr_array((rng.random((4000, 300)) < 0.02).astype(np.float32))
    train = TrainData({"book": likes}, ("book",))
    pairs = int((np.diff(likes.indptr).astype(np.int64) ** 2).sum())
    assert pairs > 300**2
    sampled = count_shared(train, 300**2 * 16 - 16, seed=2)
    assert 0.3 < sampled.counted < 0.8
    matrix = sparse.csr_array((sampled.users, sampled.columns, sampled.indptr), shape=(300, 300))
    assert matrix.diagonal().sum() == pytest.approx(likes.sum(), rel=0.05)
    assert matrix.nnz <= 300**2
