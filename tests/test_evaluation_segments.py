"""Popularity tiers, the long tail, new items."""

from __future__ import annotations

import numpy as np

from graphkit.evaluation.segments import SEGMENTS, segment_items


def test_tiers_are_fifths_of_the_known_items_by_listeners() -> None:
    listeners = np.array([0, 50, 40, 30, 20, 10, 9, 8, 7, 6, 0])
    known = np.array([False] + [True] * 10)
    found = segment_items(listeners, known, seed=0)
    tiers = [np.flatnonzero(found.of(f"tier {n}")).tolist() for n in range(1, 6)]
    assert tiers == [[1, 2], [3, 4], [5, 6], [7, 8], [9, 10]]
    assert np.flatnonzero(found.of("tail")).tolist() == [5, 6, 7, 8, 9, 10]
    assert np.flatnonzero(found.of("new")).tolist() == [0]
    assert found.of("all").all()
    shares = {row["segment"]: row["train_share"] for row in found.summary()}
    assert shares["tier 1"] == 0.5
    assert list(shares) == list(SEGMENTS)


def test_equals_are_split_by_seed_and_not_by_row() -> None:
    flat, known = np.ones(100, np.int64), np.ones(100, bool)
    first = [tuple(np.flatnonzero(segment_items(flat, known, seed).of("tier 1"))) for seed in range(10)]
    assert len(set(first)) == 10
    assert all(len(tier) == 20 for tier in first)


def test_a_catalogue_nobody_knows_is_all_new() -> None:
    found = segment_items(np.zeros(4, np.int64), np.zeros(4, bool), 0)
    assert found.of("new").all()
    assert not found.of("tier 1").any()
