"""Neighbour draws: the compiled loop, the tensors and any part of the nodes agree."""

from __future__ import annotations

import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphkit.hgnn import draws
from graphkit.hgnn.draws import in_edge_positions, mix_key, node_uniform

degrees = st.lists(st.integers(0, 12), min_size=1, max_size=12)


def by_tensors(*arguments: object) -> tuple[torch.Tensor, torch.Tensor]:
    """What a machine without numba, or a GPU, draws."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draws, "_compiled", lambda: None)
        return in_edge_positions(*arguments)  # type: ignore[arg-type]


@settings(deadline=None, max_examples=60)
@given(degrees, st.integers(1, 9), st.integers(0, 2**64 - 1), st.booleans(), st.randoms(use_true_random=False))
def test_the_compiled_loop_draws_what_the_tensors_draw(degrees, fan_out, key, some_excluded, random) -> None:
    indptr = torch.tensor([0, *degrees]).cumsum(0)
    dst = torch.tensor(random.sample(range(len(degrees)), random.randint(0, len(degrees))), dtype=torch.int64)
    excluded = torch.tensor([random.random() < 0.3 for _ in range(sum(degrees))], dtype=torch.bool)
    arguments = (indptr, dst, fan_out, key, excluded if some_excluded else None)
    for ours, theirs in zip(in_edge_positions(*arguments), by_tensors(*arguments), strict=True):
        assert torch.equal(ours, theirs)


def test_a_node_gets_the_same_neighbours_whatever_else_is_drawn_for() -> None:
    indptr = torch.arange(0, 50 * 20 + 1, 20)
    ends, every = in_edge_positions(indptr, torch.arange(50), 4, 7)
    one_ends, one = in_edge_positions(indptr, torch.tensor([33]), 4, 7)
    assert one_ends.tolist() == [0, 4]
    assert one.tolist() == every[ends[33] : ends[34]].tolist()
    assert one.tolist() != in_edge_positions(indptr, torch.tensor([33]), 4, 8)[1].tolist()  # another key


def test_excluded_edges_fall_out_after_the_draw() -> None:
    indptr = torch.tensor([0, 30])
    _, drawn = in_edge_positions(indptr, torch.tensor([0]), 10, 3)
    excluded = torch.zeros(30, dtype=torch.bool)
    excluded[drawn[:4]] = True
    _, left = in_edge_positions(indptr, torch.tensor([0]), 10, 3, excluded)
    assert left.tolist() == drawn[4:].tolist()


def test_uniform_numbers_are_uniform_and_independent_of_one_another() -> None:
    nodes = torch.arange(50_000)
    zero, one = torch.tensor(0), torch.tensor(1)
    first, second, other = node_uniform(1, nodes, zero), node_uniform(1, nodes, one), node_uniform(2, nodes, zero)
    for numbers in (first, second, other):
        counts = torch.histc(numbers, 20, 0, 1)
        assert ((counts - 2500).abs() < 5 * 2500**0.5).all()
    for a, b in ((first, second), (first, other), (first[:-1], first[1:])):
        assert abs(torch.corrcoef(torch.stack([a, b]))[0, 1]) < 0.03


def test_keys_differ_by_every_part() -> None:
    keys = {mix_key(a, b, c) for a in range(5) for b in range(5) for c in range(5)}
    assert len(keys) == 125
    assert all(0 <= key < 2**64 for key in keys)


def test_without_numba_the_tensors_draw(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "graphkit.hgnn.draws_compiled", None)
    draws._compiled.cache_clear()
    assert draws._compiled() is None
    draws._compiled.cache_clear()
