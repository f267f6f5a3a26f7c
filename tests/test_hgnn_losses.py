"""Losses and the validation rank, by hand."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
import torch

from graphkit.graph.store import PLAYLIST
from graphkit.hgnn.links import find_links, without
from graphkit.hgnn.losses import margin_loss, softmax_loss
from graphkit.hgnn.validation import hold_out, link_mrr
from tests.hgnn_graphs import co, graph_of, random_graph

POSITIVE = torch.tensor([0.8, 0.1, 0.5])
NEGATIVE = torch.tensor([[0.7, 0.2, 0.9], [0.0, 0.3, -1.0], [0.5, 0.5, 0.5]])
REJECTED = torch.tensor([[False, False, True], [False, False, False], [True, True, True]])


def test_margin_loss() -> None:
    """0.7 - 0.8 + 0.3 = 0.2 and 0.2 - 0.8 + 0.3 < 0; then 0.2, 0.5, 0; then no negative at all."""
    loss = margin_loss(POSITIVE, NEGATIVE, REJECTED, margin=0.3)
    assert loss.tolist() == pytest.approx([0.1, 0.7 / 3, 0.0])


def test_softmax_loss() -> None:
    loss = softmax_loss(POSITIVE, NEGATIVE, REJECTED, temperature=0.5, correction=torch.zeros(3))
    first = -math.log(math.exp(1.6) / (math.exp(1.6) + math.exp(1.4) + math.exp(0.4)))
    second = -math.log(math.exp(0.2) / (math.exp(0.2) + 1 + math.exp(0.6) + math.exp(-2)))
    assert loss.tolist() == pytest.approx([first, second, 0.0], abs=1e-6)


def test_rejected_negatives_have_no_gradient() -> None:
    for loss in (margin_loss, partial(softmax_loss, correction=torch.zeros(3))):
        negative = NEGATIVE.clone().requires_grad_()
        loss(POSITIVE, negative, REJECTED, 0.3).sum().backward()
        assert negative.grad is not None
        assert negative.grad[REJECTED].tolist() == [0.0] * 4
        assert negative.grad[0, 0] > 0


def test_reciprocal_rank_among_nodes_that_are_not_yet_neighbours() -> None:
    """Audiobook 0 is held out from podcast 2: of its scores 0.9, 0.8, 0.5, 0.6 the first is a neighbour's,
    so podcast 2 comes third. From podcast 2, audiobook 1 scores the same as audiobook 0: rank 1.5."""
    features = {"a": np.ones((2, 1)), "p": np.ones((4, 1))}
    graph = graph_of({("a", "p"): [(0, 0), (0, 2)]}, features)
    links = find_links(graph)[co("a", "p")]
    held = {co("a", "p"): links.take((links.dst == 2).nonzero().flatten())}
    z = {"a": torch.tensor([[1.0, 0.0], [1.0, 0.0]]), "p": torch.tensor([[0.9, 0], [0.8, 0], [0.5, 0], [0.6, 0]])}
    mrr = link_mrr(z, without(graph, held), held)
    assert mrr == {"a-p": pytest.approx((1 / 3 + 1 / 1.5) / 2)}


def test_nodes_known_through_another_kind_of_edge_or_direction_are_not_ranked() -> None:
    """Of podcasts scored 0.9, 0.8, 0.7, 0.6 the first shares a playlist with audiobook 0 and the second is joined
    to it in one direction only: the held-out third is first. From its end, audiobook 0 is the only one."""
    graph = graph_of(
        {("a", "p"): [(0, 1), (0, 2)], ("a", PLAYLIST, "p"): [(0, 0), (0, 2)]},
        {"a": np.ones((1, 1)), "p": np.ones((4, 1))},
    )
    back = co("p", "a")
    graph.relations[back] = graph.relations[back].keep(torch.tensor([False, True]))
    links = find_links(graph)[co("a", "p")]
    held = {co("a", "p"): links.take((links.dst == 2).nonzero().flatten())}
    z = {"a": torch.tensor([[1.0, 0.0]]), "p": torch.tensor([[0.9, 0], [0.8, 0], [0.7, 0], [0.6, 0]])}
    assert link_mrr(z, without(graph, held), held) == {"a-p": 1.0}


def test_collapsed_embeddings_rank_in_the_middle() -> None:
    graph = random_graph()
    links = find_links(graph)
    held = hold_out(links, 0.5, 1000, torch.Generator())
    z = {t: torch.ones(n, 2) for t, n in graph.num_nodes.items()}
    assert all(value < 0.2 for value in link_mrr(z, without(graph, held), held).values())


def test_the_anchor_itself_is_not_ranked() -> None:
    graph = graph_of({("a", "a"): [(0, 1)]}, {"a": np.ones((3, 1))})
    links = find_links(graph)
    z = {"a": torch.tensor([[1.0, 0.0], [0.6, 0.8], [-1.0, 0.0]])}
    assert link_mrr(z, without(graph, links), links) == {"a-a": 1.0}


def test_hold_out_takes_a_share_of_each_relation_up_to_its_cap() -> None:
    links = find_links(random_graph())
    sizes = {relation: len(of_it) for relation, of_it in links.items()}
    held = hold_out(links, 0.25, 20, torch.Generator())
    assert {r: len(h) for r, h in held.items()} == {r: min(20, n // 4) for r, n in sizes.items()}
    assert not any(map(len, hold_out(links, 0.0, 20, torch.Generator()).values()))
