"""Validation users: what they must find, what is taken out of their histories, and the figure itself."""

from __future__ import annotations

import numpy as np
import pytest

from graphkit.histories import History, Pool
from graphkit.user_features import FeatureSpec, UserFeatures, UserInputs
from graphkit.user_vectors import pair_folds
from towers.labels import Labels
from towers.validation import Cell, mean_over_cells, ndcg, validation_cells

A, B = Pool("a", "strong"), Pool("b", "strong")


def history(*items: list[int]) -> History:
    return History(np.cumsum([0, *map(len, items)]), np.array([i for row in items for i in row], dtype=np.int32))


def features(of_a: History, of_b: History) -> UserFeatures:
    vectors = {"a": np.eye(8, dtype=np.float32), "b": np.eye(8, dtype=np.float32)}
    spec = FeatureSpec(pools=(A, B), embedding_dim=8)
    return UserFeatures(spec, {A: of_a, B: of_b}, vectors, np.zeros((of_a.num_users, 0), dtype=np.int32))


def rows(of: History) -> list[list[int]]:
    return [of.of(user).tolist() for user in range(of.num_users)]


def seen(cell: Cell, pool: int) -> list[list[int]]:
    """The items that a pooled input was made of, read off its one-hot means."""
    block = cell.inputs.pooled[:, pool * 9 : pool * 9 + 8]
    return [np.flatnonzero(row).tolist() for row in block]


def test_timed_cells() -> None:
    of_a, of_b = history([0, 1], [], [], [2]), history([0], [3], [], [])
    known = history([0, 1, 4], [5], [6], [2])
    labels = Labels("a", np.array([0, 0, 1, 2, 3]), np.array([1, 4, 5, 6, 2]), known)
    warm, cold = validation_cells(features(of_a, of_b), labels, True, 9, np.random.default_rng(0))
    # User 2 has no history at all, and user 3's whole history is its label: nobody can be ranked for them.
    assert (warm.name, rows(warm.relevant), rows(warm.masked)) == ("a/warm", [[1, 4]], [[0]])
    assert (seen(warm, 0), seen(warm, 1)) == ([[0]], [[0]])
    assert (cold.name, rows(cold.relevant), rows(cold.masked)) == ("a/cold", [[5]], [[]])
    assert (seen(cold, 0), seen(cold, 1)) == ([[]], [[3]])


def test_untimed_cells_ask_each_user_warm_and_cold() -> None:
    of_a, of_b = history(list(range(8)), [3], [1, 2, 4, 6, 7]), history([0], [1], [])
    users = np.array([0] * 8 + [1] + [2] * 5)
    labels = Labels("a", users, of_a.items.astype(np.int64), of_a)
    warm, cold = validation_cells(features(of_a, of_b), labels, False, 9, np.random.default_rng(0))
    assert warm.num_users == 2  # of user 1's only item nothing would be left
    for user, held, masked, left in zip((0, 2), rows(warm.relevant), rows(warm.masked), seen(warm, 0), strict=True):
        everything = of_a.of(user)
        folds = pair_folds("a", np.full(len(everything), user), everything)
        assert masked == left
        assert held == everything[folds == folds[everything == held[0]]].tolist()  # one fold, all of it
        assert sorted(held + left) == everything.tolist()
    assert rows(cold.relevant) == [list(range(8)), [3]]  # user 2 has nothing but the type
    assert seen(cold, 0) == [[], []]
    assert seen(cold, 1) == [[0], [1]]


def test_no_more_users_than_asked_for() -> None:
    of_a, of_b = history(*[[u % 8] for u in range(30)]), history(*[[1]] * 30)
    labels = Labels("a", np.arange(30), np.arange(30) % 8, of_a)
    cells = list(validation_cells(features(of_a, of_b), labels, False, 5, np.random.default_rng(0)))
    assert [(cell.group, cell.num_users) for cell in cells] == [("cold", 5)]


def test_ndcg_by_hand() -> None:
    item_vectors = np.eye(12, dtype=np.float32)
    scores = np.array([[12 - i for i in range(12)]] * 3, dtype=np.float32)  # item 0 first
    cell = Cell(
        "a",
        "warm",
        UserInputs(scores, scores.astype(np.int32), scores[:, :0]),
        history([0], [2, 11], [2]),
        history([], [0, 1], [11]),
    )
    found = ndcg(scores, item_vectors, cell)
    # Third user: item 2 at rank 3. Second: item 2 rises to rank 1 by masking 0 and 1, item 11 to rank 10.
    second = (1 + 1 / np.log2(11)) / (1 + 1 / np.log2(3))
    np.testing.assert_allclose(found, [1, second, 0.5], rtol=1e-6)


def test_ndcg_of_a_catalogue_shorter_than_the_list() -> None:
    nothing = np.zeros((1, 0), np.float32)
    cell = Cell("a", "cold", UserInputs(nothing, nothing.astype(np.int32), nothing), history([1]), history([]))
    assert ndcg(np.array([[1, 2]], np.float32), np.eye(2, dtype=np.float32), cell) == pytest.approx(1)


def test_cells_weigh_by_the_root_of_their_users() -> None:
    assert mean_over_cells({"a": 0.1, "b": 0.4}, {"a": 400, "b": 100}) == pytest.approx(0.2)
