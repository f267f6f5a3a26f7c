"""Features taken out of the user tower's inputs, column by column."""

from __future__ import annotations

import numpy as np
import pytest

from graphkit.histories import History, Pool
from graphkit.missing_inputs import missing_patterns
from graphkit.user_features import FeatureSpec, UserFeatures, UserInputs, VectorInput

POOLS = tuple(Pool(t, group) for t in ("book", "song") for group in ("strong", "weak"))
SPEC = FeatureSpec(pools=POOLS, embedding_dim=2, categorical={"country": ("SE",)})


def full(rows: int) -> UserInputs:
    """Pool after pool: two columns of the mean, one of the count; every row the same."""
    pooled = np.tile(np.arange(1, 13, dtype=np.float32), (rows, 1))
    return UserInputs(pooled, np.ones((rows, 1), np.int32), np.zeros((rows, 0), np.float32))


def taken_out(name: str, inputs: UserInputs, spec: FeatureSpec = SPEC) -> UserInputs:
    return next(pattern for pattern in missing_patterns(spec) if pattern.name == name).of(inputs, spec)


@pytest.mark.parametrize(
    ("name", "left", "country"),
    [
        ("as is", range(1, 13), 1),
        ("no book history", range(7, 13), 1),
        ("no song history", range(1, 7), 1),
        ("no weak signals", [1, 2, 3, 7, 8, 9], 1),
        ("no demographics", range(1, 13), 0),
        ("nothing known", [], 0),
    ],
)
def test_each_pattern_takes_out_its_columns(name: str, left: list[int], country: int) -> None:
    inputs = full(2)
    found = taken_out(name, inputs)
    expected = [value if value in left else 0 for value in range(1, 13)]
    assert found.pooled.tolist() == [expected, expected]
    assert found.categorical.tolist() == [[country], [country]]
    assert inputs.pooled.tolist() == full(2).pooled.tolist()


def test_every_combination_has_its_turn() -> None:
    """Four features: sixteen combinations, and then the first again."""
    found = taken_out("every combination in turn", full(17))
    seen = [(*pooled, *country) for pooled, country in zip(found.pooled, found.categorical, strict=True)]
    # Without both histories there are no weak signals to miss: two of them for each of country known and not.
    assert len(set(seen[:16])) == 14
    assert seen[16] == seen[0] == (*range(1, 13), 1)
    assert (0,) * 13 in seen
    assert (*range(1, 4), *[0] * 9, 0) in seen  # strong books alone


def test_the_patterns_are_those_of_what_the_tower_takes() -> None:
    assert [p.name for p in missing_patterns(SPEC)] == [
        "as is", "no book history", "no song history", "no weak signals", "no demographics", "nothing known",
        "every combination in turn",
    ]  # fmt: skip
    bare = FeatureSpec(pools=(Pool("book", "strong"),), embedding_dim=2, counts=False)
    assert [p.name for p in missing_patterns(bare)] == [
        "as is", "no book history", "nothing known", "every combination in turn",
    ]  # fmt: skip
    inputs = UserInputs(np.ones((1, 2), np.float32), np.zeros((1, 0), np.int32), np.zeros((1, 0), np.float32))
    assert taken_out("no book history", inputs, bare).pooled.tolist() == [[0, 0]]


def test_a_missing_history_is_an_empty_one() -> None:
    """As the pooling of histories without these items has it."""
    rng = np.random.default_rng(0)
    history = History(np.array([0, 3], np.int64), np.array([0, 2, 1], np.int32))
    empty = History(np.array([0, 0], np.int64), np.array([], np.int32))
    vectors = {t: rng.normal(size=(3, 2)).astype(np.float32) for t in ("book", "song")}
    categorical = np.array([[1]], np.int32)
    known, bookless = (
        UserFeatures(SPEC, {p: books if p.item_type == "book" else history for p in POOLS}, vectors, categorical)
        for books in (history, empty)
    )
    found = taken_out("no book history", known.inputs(np.array([0])))
    np.testing.assert_array_equal(found.pooled, bookless.inputs(np.array([0])).pooled)


def test_choices_and_user_vectors_may_be_missing_too() -> None:
    pools = (Pool("book", "strong"), Pool("book", "weak.like"), Pool("book", "onboarding"))
    vectors = {"music": VectorInput(dim=1, scale=1.0), "film": VectorInput(dim=2, scale=1.0)}
    spec = FeatureSpec(pools=pools, embedding_dim=1, counts=False, vectors=vectors)
    inputs = UserInputs(np.ones((1, 3), np.float32), np.zeros((1, 0), np.int32), np.ones((1, 3), np.float32))
    left = {
        name: [*taken_out(name, inputs, spec).pooled[0], *taken_out(name, inputs, spec).vectors[0]]
        for name in [pattern.name for pattern in missing_patterns(spec)][:-1]
    }
    assert left == {
        "as is": [1, 1, 1, 1, 1, 1],
        "no book history": [0, 0, 1, 1, 1, 1],
        "no weak signals": [1, 0, 1, 1, 1, 1],
        "no onboarding choices": [1, 1, 0, 1, 1, 1],
        "no music vector": [1, 1, 1, 0, 1, 1],
        "no film vector": [1, 1, 1, 1, 0, 0],
        "nothing known": [0] * 6,
    }
    assert inputs.vectors.all()
