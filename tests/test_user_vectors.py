"""User-vector artefacts: written and read, checked, and cross-fitted where nothing has a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from graphkit.errors import ArtefactError
from graphkit.user_vectors import FOLDS, UserVectors, load_user_vectors, pair_folds, save_user_vectors

USERS, DIM = 40, 3


def vectors(name: str, num_fit: int) -> UserVectors:
    rng = np.random.default_rng(0)
    made = [rng.standard_normal((USERS, DIM)).astype(np.float32) for _ in range(num_fit + 1)]
    return UserVectors(name, tuple(made[:-1]), made[-1])


@pytest.mark.parametrize(("num_fit", "timed"), [(1, True), (FOLDS, False)])
def test_what_is_saved_is_read(tmp_path: Path, num_fit: int, timed: bool) -> None:
    ours = vectors("music", num_fit)
    save_user_vectors(tmp_path / "v", ours, vectors("other", num_fit))
    read = load_user_vectors(tmp_path / "v", "music", USERS, timed)
    assert read.dim == DIM
    np.testing.assert_array_equal(read.serve, ours.serve)
    np.testing.assert_array_equal(np.stack(read.fit), np.stack(ours.fit))
    with pytest.raises(ArtefactError, match="'music' do not fit"):
        load_user_vectors(tmp_path / "v", "music", USERS, not timed)
    with pytest.raises(ArtefactError, match="'music' do not fit"):
        load_user_vectors(tmp_path / "v", "music", USERS + 1, timed)
    with pytest.raises(ArtefactError, match="'film' do not fit"):
        load_user_vectors(tmp_path / "v", "film", USERS, timed)


def test_a_vector_that_is_no_number_is_refused(tmp_path: Path) -> None:
    broken = vectors("music", 1)
    broken.serve[3, 1] = np.nan
    save_user_vectors(tmp_path / "v", broken)
    with pytest.raises(ArtefactError, match="finite"):
        load_user_vectors(tmp_path / "v", "music", USERS, timed=True)


def test_the_vector_beside_a_label_is_of_the_labels_own_fold() -> None:
    ours, rng = vectors("music", FOLDS), np.random.default_rng(1)
    users, items = rng.integers(USERS, size=500), rng.integers(1000, size=500)
    found, folds = ours.beside("book", users, items), pair_folds("book", users, items)
    for i in range(len(users)):
        np.testing.assert_array_equal(found[i], ours.fit[folds[i]][users[i]])


def test_folds_are_even_fixed_and_different_per_type() -> None:
    users, items = np.repeat(np.arange(200), 100), np.tile(np.arange(100), 200)
    folds = pair_folds("book", users, items)
    assert np.bincount(folds, minlength=FOLDS).min() > 0.9 * len(folds) / FOLDS
    by_user = np.stack([np.bincount(folds[users == u], minlength=FOLDS) for u in range(20)])
    assert by_user.min() >= 5  # no user lies in one fold
    assert (pair_folds("movie", users, items) != folds).mean() > 0.7
    assert pair_folds("book", np.array([0, 7, 199]), np.array([5, 0, 42])).tolist() == folds[[5, 700, 19942]].tolist()
