"""Behaviours in sequences, by hand and by property."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphkit.errors import InputError
from towers.encoders.sequences.sequences import part_into_rows
from towers.encoders.sequences.services import Services, find_services, first_values
from towers.encoders.sequences.tokens import PAD, encode_texts, learn_tokens, texts_of


def ints(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int64)


def test_the_latest_of_a_repeat_counts_and_the_newest_are_kept() -> None:
    users, items, services = ints(0, 0, 0, 0, 2, 2), ints(7, 8, 7, 9, 7, 5), ints(0, 0, 0, 1, 0, 1)
    times = ints(1, 2, 3, 4, 5, 6)
    merged = part_into_rows(users, items, services, times, by_service=False, max_behaviours=2)
    assert merged.users.tolist() == [0, 2]
    assert merged.indptr.tolist() == [0, 2, 4]
    assert merged.items.tolist() == [7, 9, 7, 5]
    assert merged.times.tolist() == [3, 4, 5, 6]
    parted = part_into_rows(users, items, services, times, by_service=True, max_behaviours=9)
    assert list(zip(parted.users, parted.row_services, strict=True)) == [(0, 0), (0, 1), (2, 0), (2, 1)]
    assert parted.items.tolist() == [8, 7, 9, 7, 5]
    assert parted.lengths.tolist() == [2, 1, 1, 1]


def test_an_item_met_through_two_services_counts_in_both() -> None:
    rows = part_into_rows(ints(0, 0), ints(3, 3), ints(0, 1), ints(1, 2), by_service=True, max_behaviours=5)
    assert rows.items.tolist() == [3, 3]
    assert rows.row_services.tolist() == [0, 1]


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5), st.integers(0, 2)), max_size=40), st.integers(1, 6))
def test_rows_hold_what_a_loop_finds(events: list[tuple[int, int, int]], most: int) -> None:
    events = sorted(events, key=lambda event: event[0])
    columns = [np.array([event[i] for event in events], dtype=np.int64) for i in range(3)]
    rows = part_into_rows(*columns, np.arange(len(events)), by_service=True, max_behaviours=most)
    expected: dict[tuple[int, int], list[int]] = {}
    for user, item, service in events:
        row = expected.setdefault((user, service), [])
        if item in row:
            row.remove(item)
        row.append(item)
    found = {
        (int(user), int(rows.services[start])): rows.items[start:end].tolist()
        for user, start, end in zip(rows.users, rows.indptr[:-1], rows.indptr[1:], strict=True)
    }
    assert found == {key: row[-most:] for key, row in expected.items()}
    assert len(rows) == len(expected)


def test_rows_of_some_users_in_their_order() -> None:
    rows = part_into_rows(ints(0, 0, 1, 3, 3), ints(1, 2, 3, 4, 5), ints(0, 1, 0, 0, 1), ints(0, 1, 2, 3, 4), True, 9)
    some = rows.of_users(ints(3, 2, 0))
    assert some.users.tolist() == [0, 0, 2, 2]  # the second has no row
    assert some.items.tolist() == [4, 5, 1, 2]
    assert some.indptr.tolist() == [0, 1, 2, 3, 4]


def test_services_are_the_commonest_values_and_other() -> None:
    services = find_services("genre", {"jazz": 5, "rock": 9, "folk": 1, None: 2}, known=(), most=2, several=True)
    assert services.names == ("rock", "jazz", "other")
    assert services.counts == (9, 5, 3)
    assert services.codes(pl.Series(["jazz", None, "folk", "rock", "new"])).tolist() == [1, 2, 2, 0, 2]
    types = find_services("item_type", {"track": 9, "book": 1}, known=("book", "track"), most=4, several=True)
    assert types.names == ("book", "track")
    with pytest.raises(InputError, match="all of one service"):
        find_services("genre", {"rock": 9}, known=(), most=4, several=True)
    assert find_services("genre", {"rock": 9}, known=(), most=4, several=False).names == ("rock",)


def test_of_several_genres_the_first_counts() -> None:
    items = pl.DataFrame({"genre": ["crime|history", " ", None, "poetry"]})
    assert first_values(items, "genre").to_list() == ["crime", None, None, "poetry"]


def test_services_by_name_alone() -> None:
    one = Services(column="item_type", values=("book",), counts=(4,))
    assert one.codes(pl.Series(["book", "film"])).tolist() == [0, 0]


def test_texts_become_tokens_and_back() -> None:
    items = pl.DataFrame({"title": ["Öl and water", None, "Öl"], "genre": ["x", " ", None]})
    texts = texts_of(items, ("title", "genre"))
    assert texts == ["Öl and water. x", "", "Öl"]
    tokenizer = learn_tokens([*texts, "and and water"], 300)
    assert tokenizer.get_vocab_size() <= 300
    tokens = encode_texts(tokenizer, texts, 64)
    assert tokens.shape == (3, 64)
    assert (tokens[1] == PAD).all()
    assert tokenizer.decode(tokens[0][tokens[0] != PAD].tolist()).strip() == texts[0]
    assert encode_texts(tokenizer, texts, 3)[0].tolist() == tokens[0, :3].tolist()
    # What training never saw is spelt in bytes, none of them unknown.
    spelt = encode_texts(tokenizer, ["日本"], 64)[0]
    assert tokenizer.decode(spelt[spelt != PAD].tolist()).strip() == "日本"
