"""ShopperBERT's date parts, augmentation and masking, by hand and by count."""

from __future__ import annotations

from datetime import UTC, datetime

import numpy as np
import pytest
import torch

from towers.encoders.shopperbert.augment import augmented
from towers.encoders.shopperbert.dates import date_parts
from towers.encoders.shopperbert.masking import mask
from towers.encoders.shopperbert.model import BehaviourTokens, Shopperbert, ShopperbertShape, prediction_losses


def test_date_parts_are_the_calendar_s() -> None:
    moments = [datetime(2024, 2, 29, 23, 59, tzinfo=UTC), datetime(1999, 12, 31, 0, 0, tzinfo=UTC)]
    parts = date_parts(np.array([int(moment.timestamp() * 1000) for moment in moments]))
    expected = [[m.year, m.month - 1, m.day - 1, m.weekday(), m.hour] for m in moments]
    assert parts.tolist() == expected


def test_algorithm_1_crops_and_shuffles() -> None:
    draw = np.random.default_rng(0)
    crops = [augmented(10, 1.0, draw) for _ in range(500)]
    assert {len(crop) for crop in crops} == set(range(3, 11))
    assert all(np.diff(crop).tolist() == [1] * (len(crop) - 1) for crop in crops)
    assert {int(crop[0]) for crop in crops} == set(range(8))
    shuffles = [augmented(10, 0.0, draw) for _ in range(500)]
    moved = [np.flatnonzero(shuffle != np.arange(10)) for shuffle in shuffles]
    assert all(sorted(shuffle) == list(range(10)) for shuffle in shuffles)
    assert max(np.ptp(places) for places in moved if len(places)) == 2  # 30 % of ten are three neighbours
    assert 0.5 < np.mean([len(places) > 0 for places in moved]) < 1
    both = [len(augmented(10, 0.5, draw)) == 10 for _ in range(1000)]
    assert 0.5 < np.mean(both) < 0.65  # half are shuffled, and some crops keep all


@pytest.mark.parametrize("length", [1, 2, 3])
def test_short_sequences_are_never_emptied(length: int) -> None:
    draw = np.random.default_rng(0)
    assert min(len(augmented(length, 0.5, draw)) for _ in range(200)) >= 1


def test_masking_is_80_10_10_of_15_percent() -> None:
    lengths = np.full(2000, 20)
    found = mask(lengths, 0.15, np.random.default_rng(0))
    predicted, number = found.predicted, np.arange(len(found.predicted))
    assert predicted.mean() == pytest.approx(0.15 + 0.85**20 / 20, abs=0.005)  # one is forced where none was drawn
    assert predicted.reshape(2000, 20).any(axis=1).all()
    assert not (found.hidden & ~predicted).any()
    assert found.hidden[predicted].mean() == pytest.approx(0.8, abs=0.02)
    exchanged = found.content != number
    assert not (exchanged & (found.hidden | ~predicted)).any()
    assert exchanged[predicted].mean() == pytest.approx(0.1, abs=0.015)


SHAPE = ShopperbertShape(
    dim=8, layers=1, heads=2, feedforward=16, dropout=0.0, max_behaviours=5, timed=True, text_dim=3,
    categories={"genre": 4}, dates={"month": 13}, cls=False,
)  # fmt: skip


def tokens(hidden: bool = False) -> BehaviourTokens:
    values = torch.tensor([[1, 2], [2, 3], [3, 4], [1, 5], [2, 6]])
    text = torch.arange(15.0).view(5, 3) / 15
    return BehaviourTokens(values, text, torch.tensor([False, hidden, False, False, False]), torch.tensor([0, 3, 5]))


@pytest.mark.parametrize("cls", [False, True])
def test_a_hidden_behaviour_shows_nothing_but_its_place(cls: bool) -> None:
    torch.manual_seed(0)
    model = Shopperbert(SHAPE.model_copy(update={"cls": cls})).eval()
    users, hidden = model(tokens(hidden=True))
    assert users.shape == (2, 8)
    assert hidden.shape == (5, 8)
    other = tokens(hidden=True)
    other.values[1], other.text[1] = torch.tensor([3, 9]), 4.0
    torch.testing.assert_close(model(other)[0], users)
    shown = tokens()
    assert (model(shown)[0][0] - users[0]).abs().max() > 1e-4
    torch.testing.assert_close(model(shown)[0][1], users[1])


def test_the_user_is_the_mean_or_the_cls_token() -> None:
    torch.manual_seed(0)
    users, hidden = Shopperbert(SHAPE).eval()(tokens())
    torch.testing.assert_close(users, torch.stack([hidden[:3].mean(0), hidden[3:].mean(0)]))
    users, hidden = Shopperbert(SHAPE.model_copy(update={"cls": True})).eval()(tokens())
    torch.testing.assert_close(hidden, users[[0, 0, 0, 1, 1]])  # all of a user is predicted from one vector


def test_a_behaviour_token_is_an_average() -> None:
    torch.manual_seed(0)
    model = Shopperbert(SHAPE)
    found = model.embed(tokens(), torch.tensor([3, 2, 1, 2, 1]))
    product = model.product(torch.cat([model.categories[0].weight[2], model.text(torch.arange(3.0, 6) / 15)]))
    expected = (product + model.dates[0].weight[3] + model.places.weight[2]) / 3
    torch.testing.assert_close(found[1], expected)


def test_an_unknown_value_is_not_predicted() -> None:
    torch.manual_seed(0)
    model, hidden = Shopperbert(SHAPE), torch.randn(2, 8)
    both = prediction_losses(model, hidden, torch.tensor([[1, 5], [0, 6]]))
    first = prediction_losses(model, hidden[:1], torch.tensor([[1, 5]]))
    assert float(both[0].detach()) == pytest.approx(float(first[0].detach()))
    assert bool(both[1] > first[1])
