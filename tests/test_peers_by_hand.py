"""The arithmetic of the simple peers, against small dense cases."""

from __future__ import annotations

import numpy as np
import pytest
from peers_world import two_tastes
from scipy import sparse

from graphkit.evaluation.peers.bpr import Adam, Triples, draw_negatives, loss_and_gradient, propagate
from graphkit.evaluation.peers.ease import EasePeer, fit_ease
from graphkit.evaluation.peers.lightgcn import PairSampler, normalised_adjacency
from graphkit.evaluation.peers.rows import row_shares, sparse_rows, weighted_sums
from graphkit.evaluation.peers.train_data import TrainData


def random_train(seed: int, num_users: int = 40) -> TrainData:
    rng = np.random.default_rng(seed)
    likes = {name: (rng.random((num_users, n)) < 0.2).astype(np.float32) for name, n in (("book", 9), ("song", 14))}
    likes["song"][:, 3] = 0  # nobody knows it
    return TrainData({name: sparse.csr_array(matrix) for name, matrix in likes.items()}, ("book", "song"))


def test_ease_is_its_closed_form() -> None:
    train = random_train(0)
    dense = train.all_likes.toarray().astype(np.float64)
    inverse = np.linalg.inv(dense.T @ dense + 2.5 * np.eye(dense.shape[1]))
    weights = -inverse / np.diag(inverse)  # column j divided by P_jj
    np.fill_diagonal(weights, 0)
    model = fit_ease(train, 2.5, threads=2)
    for item_type, columns in train.columns.items():
        np.testing.assert_allclose(
            model.scores(np.arange(40), item_type), (dense @ weights)[:, columns], rtol=1e-4, atol=1e-5
        )
    assert model.weights.shape == (22, 22)  # the song nobody knows takes no room
    assert (model.scores(np.arange(40), "song")[:, 3] == 0).all()


def test_ease_of_many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit_ease(random_train(1), 1.0, threads=1)
    monkeypatch.setattr("graphkit.evaluation.peers.ease._BLOCK", 5)
    np.testing.assert_array_equal(fit_ease(random_train(1), 1.0, threads=1).weights, whole.weights)


def test_ease_of_a_matrix_too_large_for_lapack_is_inverted_in_quarters(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = fit_ease(random_train(1), 1.0, threads=1)
    monkeypatch.setattr("graphkit.evaluation.peers.ease._BLOCK", 3)
    for rows in (len(whole.weights) // 2 + 1, 4):
        monkeypatch.setattr("graphkit.evaluation.peers.ease.LAPACK_ROWS", rows)
        parts = fit_ease(random_train(1), 1.0, threads=1)
        np.testing.assert_allclose(parts.weights, whole.weights, atol=2e-6)


def test_ease_says_what_its_matrix_would_take() -> None:
    train = random_train(0)
    assert EasePeer(22 * 22 * 4).left_out(train) is None
    assert "22 items" in str(EasePeer(22 * 22 * 4 - 1).left_out(train))
    assert "peers.memory" in str(EasePeer(100).left_out(train))


def test_ease_of_nothing_scores_nothing() -> None:
    train = TrainData({"book": sparse.csr_array((3, 2), dtype=np.float32)}, ("book",))
    assert fit_ease(train, 1.0, threads=1).scores(np.arange(3), "book").tolist() == [[0, 0]] * 3


def test_propagation_is_the_mean_of_the_adjacency_powers() -> None:
    train = random_train(2)
    adjacency = normalised_adjacency(train.all_likes)
    dense = np.zeros((63, 63))
    dense[:40, 40:] = train.all_likes.toarray()
    dense += dense.T
    scale = 1 / np.sqrt(np.maximum(dense.sum(axis=1), 1))
    dense *= scale[:, None] * scale[None, :]
    np.testing.assert_allclose(adjacency.toarray(), dense, rtol=1e-6)
    vectors = np.random.default_rng(0).normal(size=(63, 5))
    expected = (vectors + dense @ vectors + dense @ dense @ vectors) / 3
    for threads in (1, 2):
        np.testing.assert_allclose(propagate(adjacency, vectors, 2, threads), expected, rtol=1e-5)


@pytest.mark.parametrize("threads", [1, 2])
def test_the_gradient_is_that_of_finite_differences(threads: int) -> None:
    train = random_train(3)
    adjacency = normalised_adjacency(train.all_likes).astype(np.float64)
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(63, 4))
    triples = Triples(rng.integers(0, 40, 30), rng.integers(40, 63, 30), rng.integers(40, 63, 30))
    _, gradient = loss_and_gradient(vectors, adjacency, triples, 2, 0.3, threads)
    for node, d in [(0, 0), (7, 3), (41, 1), (50, 2), (62, 0)]:
        ends = []
        for step in (1e-5, -1e-5):
            moved = vectors.copy()
            moved[node, d] += step
            ends.append(loss_and_gradient(moved, adjacency, triples, 2, 0.3, threads)[0])
        assert gradient[node, d] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-4, abs=1e-9)


def test_the_loss_by_hand() -> None:
    vectors = np.array([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]])
    triples = Triples(np.array([0]), np.array([1]), np.array([2]))
    loss, _ = loss_and_gradient(vectors, sparse.csr_array((3, 3)), triples, 0, 0.1, 1)
    assert loss == pytest.approx(np.log1p(np.exp(-2.0)) + 0.05 * (1 + 4 + 9))


def test_negatives_are_of_the_positives_type_and_not_met() -> None:
    train = two_tastes().train
    known, seen = train.all_likes.toarray() > 0, 0
    for triples in PairSampler.of(train).epoch(3, np.random.default_rng(0)):
        users, positives, negatives = triples.users, triples.positives - 151, triples.negatives - 151
        assert known[users, positives].all()
        assert known[users, negatives].mean() < 0.05  # a user may know nearly all of a small type
        assert ((positives < 25) == (negatives < 25)).all()
        seen += len(users)
    assert seen == train.all_likes.nnz


def test_a_user_who_met_everything_gets_a_negative_all_the_same() -> None:
    likes = sparse.csr_array(np.ones((1, 3), np.float32))
    zeros, threes = np.zeros(5, np.int64), np.full(5, 3)
    assert set(draw_negatives(likes, zeros, zeros, threes, np.random.default_rng(0))) <= {0, 1, 2}


def test_adam_by_hand() -> None:
    values, gradient = np.ones((3, 2), np.float32), np.full((3, 2), 0.5, np.float32)
    adam = Adam(values.shape, 0.1)
    adam.step(values, gradient, threads=2)
    np.testing.assert_allclose(values, 0.9, rtol=1e-5)  # the first step is the learning rate, whatever the slope
    adam.step(values, -gradient, threads=1)
    first, second = (0.9 * 0.1 - 0.1) * 0.5 / (1 - 0.81), np.sqrt(0.25 * 0.001 * 1.999 / (1 - 0.999**2))
    np.testing.assert_allclose(values, 0.9 - 0.1 * first / second, rtol=1e-4)


def test_row_sums_equal_matrix_products() -> None:
    rng = np.random.default_rng(4)
    weights = sparse.random_array((50, 30), density=0.2, rng=rng, dtype=np.float32).tocsr()
    other = sparse.random_array((30, 20), density=0.3, rng=rng, dtype=np.float32).tocsr()
    expected = weights.toarray() @ other.toarray()
    np.testing.assert_allclose(sparse_rows(weights, other), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(weighted_sums(weights, other.toarray(), 2), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("threads", [1, 2, 7])
def test_row_shares_are_a_partition(threads: int) -> None:
    for lengths in ([], [0], [5], [0, 0, 900, 0, 1, 1], [1] * 100):
        shares = row_shares(np.concatenate([[0], np.cumsum(lengths)]), threads)
        assert [row for first, last in shares for row in range(first, last)] == list(range(len(lengths)))


def test_row_shares_of_a_part_of_a_matrix_are_even() -> None:
    """A slice of row ends starts anywhere."""
    shares = row_shares(np.arange(5000, 5101), 2)
    assert [last - first for first, last in shares] == pytest.approx([100 / 8] * 8, abs=1)
