"""The losses of CLUE and SimCLR against plain loops, and in shares of two processes."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from graphkit.config.sequence_encoders import SimclrSection
from towers.encoders.clue.losses import clip_loss, ntxent_loss
from towers.encoders.clue.views import HIDDEN, two_views

SCALE = torch.tensor(14.27)


def cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


def by_hand(vectors: Tensor, there: Tensor, scale: float) -> float:
    """Equation 4, both ways, user by user."""
    terms = []
    for a in range(there.shape[1]):
        for b in range(a + 1, there.shape[1]):
            users = [u for u in range(len(there)) if there[u, a] and there[u, b]]
            for u in users:
                ways = []
                for x, y in ((a, b), (b, a)):
                    logits = [cosine(vectors[u, x], vectors[v, y]) * scale for v in users]
                    own = logits[users.index(u)]
                    ways.append(-own + math.log(sum(math.exp(z) for z in logits)))
                terms.append(sum(ways) / 2)
    return sum(terms) / len(terms)


def test_the_clip_loss_is_equation_4() -> None:
    torch.manual_seed(0)
    vectors, there = (
        torch.randn(5, 3, 4),
        torch.tensor([[1, 1, 1], [1, 1, 0], [0, 1, 1], [1, 0, 1], [1, 1, 1]]).bool(),
    )
    assert float(clip_loss(vectors, there, SCALE)) == pytest.approx(by_hand(vectors, there, 14.27), rel=1e-5)


def test_what_a_user_lacks_does_not_count() -> None:
    torch.manual_seed(0)
    vectors, there = torch.randn(4, 2, 4), torch.tensor([[1, 1], [1, 0], [1, 1], [0, 1]]).bool()
    before = clip_loss(vectors, there, SCALE)
    vectors[1], vectors[3] = 7.0, -3.0
    assert clip_loss(vectors, there, SCALE) == before
    assert clip_loss(vectors[[1]], there[[1]], SCALE) == 0


@pytest.mark.parametrize("kind", ["clip", "ntxent"])
def test_shares_add_up_to_the_loss_and_its_gradient(kind: str) -> None:
    torch.manual_seed(0)
    there = torch.rand(7, 2) < 0.8
    vectors = torch.randn(7, 2, 4, requires_grad=True)

    def loss(own: slice) -> Tensor:
        return clip_loss(vectors, there, SCALE, own) if kind == "clip" else ntxent_loss(vectors, SCALE, own)

    shares = [loss(slice(0, 3)), loss(slice(3, 7))]
    whole = loss(slice(None))
    assert all(0.1 < float(share.detach() / whole.detach()) < 0.9 for share in shares)
    torch.testing.assert_close(sum(shares), whole)
    (expected,) = torch.autograd.grad(whole, vectors, retain_graph=True)
    (found,) = torch.autograd.grad(sum(shares), vectors)
    torch.testing.assert_close(found, expected)


def test_ntxent_is_simclr_s_equation_1() -> None:
    torch.manual_seed(0)
    views = torch.randn(4, 2, 3)
    flat = [views[u, v] for v in range(2) for u in range(4)]
    terms = []
    for i, anchor in enumerate(flat):
        logits = {k: cosine(anchor, other) * 14.27 for k, other in enumerate(flat) if k != i}
        terms.append(-logits[(i + 4) % 8] + math.log(sum(map(math.exp, logits.values()))))
    assert float(ntxent_loss(views, SCALE)) == pytest.approx(sum(terms) / 8, rel=1e-5)


def test_two_views_are_made_in_two_ways() -> None:
    settings, draw = SimclrSection(crop_share=0.6, mask_share=0.3, reorder_share=0.5), np.random.default_rng(0)
    seen = set()
    for _ in range(200):
        kinds = []
        for view in two_views(10, settings, draw):
            if (view == HIDDEN).any():
                assert (view == HIDDEN).sum() == 3
                assert view[view != HIDDEN].tolist() == [p for p in range(10) if view[p] != HIDDEN]
                kinds.append("mask")
            elif len(view) < 10:
                assert view.tolist() == list(range(view[0], view[0] + 6))
                kinds.append("crop")
            else:
                assert sorted(view) == list(range(10))
                moved = np.flatnonzero(view != np.arange(10))
                assert len(moved) == 0 or moved[-1] - moved[0] < 5
                kinds.append("reorder")
        assert kinds[0] != kinds[1]
        seen.add(tuple(kinds))
    assert len(seen) == 6


def test_a_single_behaviour_has_views_too() -> None:
    draw = np.random.default_rng(0)
    assert {len(view) for _ in range(20) for view in two_views(1, SimclrSection(), draw)} == {1}
