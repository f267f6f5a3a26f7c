"""The models of the table, each on a case small enough to work out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from evaluation_world import Row, random_rows, write_dataset
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy import sparse

from graphkit.datasets.store import Dataset
from graphkit.evaluation.groups import final_parts
from graphkit.evaluation.peers.item_knn import Similarity, fit_item_knn
from graphkit.evaluation.peers.popularity import popularity, recent_popularity
from graphkit.evaluation.peers.train_data import history_matrices, read_train
from graphkit.evaluation.vector_models import DotProduct, MeanOfHistory

ROWS = [
    Row(0, "book", 0), Row(1, "book", 0), Row(1, "book", 0, days_before=2), Row(1, "book", 1, days_before=200),
    Row(2, "book", 1, signal="preview"), Row(2, "book", 2, "test"), Row(2, "song", 0),
    Row(0, "song", 0),
]  # fmt: skip


def liked(dataset: Dataset) -> dict[str, sparse.csr_array]:
    return read_train(dataset, final_parts(dataset)).likes


def likes_of(table: list[list[int]]) -> sparse.csr_array:
    return sparse.csr_array(np.array(table, np.float32))


def test_popularity_counts_distinct_users_of_strong_train_rows(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, ROWS, {"book": 3, "song": 1}, 3)
    model = popularity(liked(dataset))
    assert model.scores(np.array([2, 0]), "book").tolist() == [[2, 1, 0], [2, 1, 0]]
    recent = recent_popularity(dataset, days=90)
    assert recent is not None
    assert recent.name == "Popularity, 90 days"
    assert recent.scores(np.array([0]), "book").tolist() == [[2, 0, 0]]


def test_without_timestamps_nothing_is_recent(tmp_path: Path) -> None:
    assert recent_popularity(write_dataset(tmp_path, ROWS, {"book": 3, "song": 1}, 3, timed=False), 90) is None


def test_histories_hold_weak_signals_too_and_never_test_rows(tmp_path: Path) -> None:
    dataset = write_dataset(tmp_path, ROWS, {"book": 3, "song": 1}, 3)
    assert liked(dataset)["book"].toarray().tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]
    assert history_matrices(dataset)["book"].toarray().tolist() == [[1, 0, 0], [1, 1, 0], [0, 1, 0]]


def test_item_knn_by_hand() -> None:
    likes = {"book": likes_of([[1, 1], [1, 0], [0, 1], [0, 0]]), "song": likes_of([[1], [1], [0], [1]])}
    model = fit_item_knn(likes, ("book", "song"), Similarity(shrinkage=2.0, neighbours=10))
    # Users of book 0: {0, 1}, of book 1: {0, 2}, of song 0: {0, 1, 3}.
    books, song = 1 / (2 + 2), 2 / (math.sqrt(6) + 2)
    song_1 = 1 / (math.sqrt(6) + 2)
    assert model.scores(np.array([3, 1]), "book") == pytest.approx(np.array([[song, song_1], [song, books + song_1]]))
    assert model.scores(np.array([2]), "song") == pytest.approx(np.array([[song_1]]))


@settings(max_examples=25, deadline=None)
@example(146, 3, 1, (1, 0))  # a tie for the third place, but for rounding
@given(
    st.integers(0, 1000), st.integers(1, 6), st.sampled_from([1, 3]), st.sampled_from([(0, 0.5), (0.5, 0.3), (1, 0)])
)
def test_item_knn_equals_dense_arithmetic(
    seed: int, neighbours: int, threads: int, exponents: tuple[float, float]
) -> None:
    rng = np.random.default_rng(seed)
    likes = {name: (rng.random((15, n)) < 0.3).astype(np.float32) for name, n in (("book", 6), ("song", 9))}
    rule = Similarity(1.5, neighbours, *exponents)
    model = fit_item_knn({name: sparse.csr_array(m) for name, m in likes.items()}, ("song",), rule, threads)
    weight = np.maximum(sum(m.sum(axis=1) for m in likes.values()), 1) ** -exponents[0]
    expected = np.zeros((15, 9))
    for source, matrix in likes.items():
        together = matrix.T @ (weight[:, None] * likes["song"])
        voting, voted = (np.maximum(weight @ m, 1e-9) for m in (matrix, likes["song"]))
        users = np.outer(voting ** (1 - exponents[1]), voted ** exponents[1])
        similarity = together / (users + 1.5)
        if source == "song":
            np.fill_diagonal(similarity, 0)
        for j in range(9):
            weakest = np.sort(similarity[:, j])[::-1][:neighbours][-1]
            similarity[similarity[:, j] < weakest * (1 - 1e-5), j] = 0
        expected += matrix @ similarity
    np.testing.assert_allclose(model.scores(np.arange(15), "song"), expected, rtol=1e-5, atol=1e-6)


def test_a_user_is_the_mean_of_all_their_items() -> None:
    vectors = {"book": np.eye(3, dtype=np.float32), "song": np.array([[0, 0, 2], [0, 0, 0]], np.float32)}
    histories = {"book": likes_of([[1, 1, 0], [0, 0, 0]]), "song": likes_of([[1, 0], [0, 1]])}
    scores = MeanOfHistory("HGNN", histories, vectors).scores(np.array([0, 1]), "book")
    assert scores[0] == pytest.approx(np.array([1, 1, 2]) / math.sqrt(6))
    assert scores[1].tolist() == [0, 0, 0]  # only an item without a vector
    assert MeanOfHistory("HGNN", histories, vectors).scores(np.array([0]), "song")[0, 1] == 0


def test_two_towers_multiply() -> None:
    model = DotProduct(
        "2T", np.array([[1, 2], [3, 4]], np.float32), {"book": np.array([[1, 1], [0, -1]], np.float32)}
    )
    assert model.scores(np.array([1, 0]), "book").tolist() == [[7, -4], [3, -2]]


def test_no_peer_reads_a_test_row(tmp_path: Path) -> None:
    sizes = {"book": 12, "song": 10}
    rows = random_rows(0, 20, sizes)
    with_test = write_dataset(tmp_path / "with", rows, sizes, 20)
    without = write_dataset(tmp_path / "without", [row for row in rows if row.split == "train"], sizes, 20)
    for read in (liked, history_matrices):
        for name in sizes:
            np.testing.assert_array_equal(read(with_test)[name].toarray(), read(without)[name].toarray())
    first, second = (recent_popularity(dataset, 90) for dataset in (with_test, without))
    assert first is not None
    assert second is not None
    np.testing.assert_array_equal(first.num_listeners["book"], second.num_listeners["book"])
