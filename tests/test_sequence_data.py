"""What the sequence encoders read from a dataset: who is trained on, the codes of categories, the tokens of items."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
import torch
import towers_world as world

from graphkit.artefacts import Workspace
from graphkit.config import load_config
from graphkit.datasets.store import Dataset
from towers.encoders.clue.data import read_training_data as read_clue
from towers.encoders.clue.encoder import ContrastiveEncoder
from towers.encoders.clue.model import new_model
from towers.encoders.sequences.backbone import to_behaviours
from towers.encoders.sequences.sequences import Sequences
from towers.encoders.shopperbert.data import Products
from towers.encoders.shopperbert.data import read_training_data as read_shopperbert
from towers.encoders.source import Source


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Source:
    workspace: Workspace = world.make_world(tmp_path_factory.mktemp("world"))
    return Source(Dataset.current(workspace), {"graph": workspace.current("graph")})


def read(source: Source, name: str, *sets: str, seed: int = 0) -> Any:
    settings = getattr(load_config("default", [f"{name}.{text}" for text in sets]), name)
    if name == "shopperbert":
        return read_shopperbert(source, settings, seed)
    return read_clue(source, settings, by_service=name == "clue", seed=seed)


@pytest.mark.parametrize("name", ["clue", "simclr", "shopperbert"])
def test_a_seeded_sample_of_the_users_is_parted_in_two(source: Source, name: str) -> None:
    every = read(source, name)
    assert len(every.train) + len(every.held_out) > 40
    some = read(source, name, "max_users=20", "validation_share=0.25")
    assert (len(some.train), len(some.held_out)) == (15, 5)
    assert not set(some.train) & set(some.held_out)
    assert {*some.train, *some.held_out} <= {*every.train, *every.held_out}
    other = read(source, name, "max_users=20", "validation_share=0.25", seed=1)
    assert some.held_out.tolist() != other.held_out.tolist()


def test_who_has_one_service_alone_has_no_positive_for_clue(source: Source) -> None:
    """Every fifth user knows no audiobook before the label period."""
    parted, merged = read(source, "clue"), read(source, "simclr")
    new = {user for user in range(1, world.NUM_USERS) if user % 5 == 0}
    assert {*merged.train, *merged.held_out} - {*parted.train, *parted.held_out} == new
    assert set(parted.rows.users) >= new  # they are encoded all the same


def test_the_commonest_values_of_a_category_are_coded_and_the_rest_unknown(source: Source) -> None:
    products = read(source, "shopperbert", "categories=[genre, creator]", "max_values=2").products
    items = source.dataset.items()
    genres = [None if genre is None else genre.split("|")[0] for genre in items["genre"]]
    assert products.categories[:, 0].tolist() == [{"crime": 1, "poetry": 2, None: 0}[genre] for genre in genres]
    creators = products.categories[:, 1]
    first = set(items.filter(creators == 1)["creator"])
    assert first == {"creator 0"}  # of eight items, as others: the first of them
    assert (creators > 0).sum() == 16
    assert list(products.tasks.items())[:2] == [("genre", 3), ("creator", 3)]
    text = products.text
    assert text.shape == (54, 6)
    assert np.unique(text, axis=0).shape == (54, 6)


def test_a_year_that_training_did_not_know_is_unknown() -> None:
    tasks = {"genre": 3, "year": 3, "month": 13, "day of month": 32, "day of week": 8, "hour": 25}
    products = Products(np.array([[1], [2]], np.int32), np.zeros((2, 1), np.float32), tasks, first_year=2023)
    moments = [datetime(year, 3, 1, 5, tzinfo=UTC) for year in (2022, 2023, 2024, 2025)]
    times = np.array([int(moment.timestamp() * 1000) for moment in moments])
    rows = Sequences(np.array([0, 4]), np.array([0]), np.array([0, 1, 0, 1]), np.zeros(4, np.int64), times)
    weekday = [moment.weekday() + 1 for moment in moments]
    expected = [
        [genre, year, 3, 1, day, 6] for genre, year, day in zip((1, 2, 1, 2), (0, 1, 2, 0), weekday, strict=True)
    ]
    assert products.values(rows).tolist() == expected


def test_an_item_is_another_in_another_service() -> None:
    texts = np.array([[5, 6], [7, 0]], np.int32)
    rows = Sequences(
        np.array([0, 2, 4]), np.array([0, 0]), np.array([0, 1, 0, 0]), np.array([0, 0, 1, 1]), np.zeros(4, np.int64)
    )
    made = to_behaviours(rows, texts, vocabulary=10, device=torch.device("cpu"))
    assert made.tokens[made.index].tolist() == [[10, 5, 6], [10, 7, 0], [11, 5, 6], [11, 5, 6]]
    assert len(made.tokens) == 3
    assert made.lengths.tolist() == [2, 2]


def test_items_that_were_encoded_before_are_the_same_in_every_signal(source: Source) -> None:
    """Where services are signals an item has a vector in each: what one call keeps must not answer for another."""
    data = read(source, "clue", "service=signal", "dim=8", "heads=2", "layers=1")
    settings = load_config("default", ["clue.dim=8", "clue.heads=2", "clue.layers=1"]).clue
    model = new_model(data.shape(settings), 0)
    serve = source.moments[-1]
    kept = ContrastiveEncoder(model, data.catalogue, data.layout)
    kept.encode(source.users(serve, 0, 30))
    fresh = ContrastiveEncoder(model, data.catalogue, data.layout)
    users = source.users(serve, 30, 60)
    np.testing.assert_allclose(kept.encode(users), fresh.encode(users), atol=1e-6)
    rows = data.layout.sequences(users, data.catalogue.services)
    device = next(model.parameters()).device
    by_hand = model(to_behaviours(rows, data.catalogue.tokens, data.catalogue.vocabulary, device))
    parts = fresh.encode(users).reshape(users.count, 2, 8)
    z = torch.from_numpy(parts[parts.any(axis=2)])
    torch.testing.assert_close(model.project(z), by_hand, atol=1e-5, rtol=1e-4)


def test_the_scale_of_cosines_has_a_ceiling(source: Source) -> None:
    data, settings = read(source, "clue"), load_config("default", ["clue.initial_scale=14"]).clue
    model = new_model(data.shape(settings), 0)
    assert float(model.scale.detach()) == pytest.approx(14)
    with torch.no_grad():
        model.log_scale.fill_(9)
    assert float(model.scale.detach()) == 100
