"""Filters strike items out of the full ranking: nothing else changes, and nothing is lost."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from click.testing import Result
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_towers import LOCAL, NUM_USERS, TYPES, exported_workspace

from graphkit import Bundle, Filters
from graphkit.errors import InputError
from graphkit.serving.filters import read_ids

TYPE, USERS = "podcast", ("u9", f"u{LOCAL}", "stranger")
LANGUAGES = ("de", "en", "sv")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(exported_workspace(tmp_path_factory.mktemp("filters")).current("bundle").folder)


@pytest.fixture(scope="module")
def languages(bundle: Bundle) -> dict[str, str | None]:
    """Of each podcast by id, as the catalogue has it."""
    items = pl.read_parquet(bundle.folder / "items.parquet").filter(pl.col("item_type") == TYPE)
    return dict(items.select("item_id", "language").iter_rows())


def listed(bundle: Bundle, user: str, **options: object) -> list[tuple[str, float]]:
    rows = bundle.recommend(user, TYPE, **options).rows  # type: ignore[arg-type]
    return [(row["item_id"], row["score"]) for row in rows]


@settings(deadline=None)
@given(
    user=st.sampled_from(USERS),
    k=st.integers(1, 40),
    wanted=st.none() | st.sets(st.sampled_from(LANGUAGES)),
    available=st.none() | st.sets(st.integers(0, TYPES[TYPE] - 1)),
    exclude=st.none() | st.sets(st.integers(0, TYPES[TYPE] - 1)),
    seen=st.booleans(),
)
def test_what_is_left_is_the_full_ranking_without_the_rest(
    bundle: Bundle,
    languages: dict[str, str | None],
    user: str,
    k: int,
    wanted: set[str] | None,
    available: set[int] | None,
    exclude: set[int] | None,
    seen: bool,
) -> None:
    ids = list(languages)
    may = {
        item_id
        for row, (item_id, language) in enumerate(languages.items())
        if (wanted is None or language in wanted)
        and (available is None or row in available)
        and (exclude is None or row not in exclude)
    }
    expected = [row for row in listed(bundle, user, k=100, exclude_seen=seen) if row[0] in may][:k]
    got = listed(
        bundle,
        user,
        k=k,
        exclude_seen=seen,
        filters=Filters.of(
            languages=wanted,
            available=None if available is None else [ids[row] for row in available],
            exclude=None if exclude is None else [ids[row] for row in exclude],
        ),
    )
    assert [item for item, _ in got] == [item for item, _ in expected]
    assert [score for _, score in got] == pytest.approx([score for _, score in expected], abs=1e-5)


def test_every_users_lists_are_filtered_as_each_ones(bundle: Bundle, tmp_path: Path) -> None:
    ids = bundle.catalogue.ids(TYPE).to_list()
    only = Filters.of(["en", "de"], available=[*ids[:20], "p99"], exclude=ids[3:9])
    written = bundle.recommend_all(tmp_path / "lists.parquet", [TYPE], k=5, filters=only)
    lists = pl.read_parquet(tmp_path / "lists.parquet")
    assert written == {TYPE: (lists.height, "1 of 21 available ids are of no podcast")}
    for user in range(NUM_USERS):
        mine = lists.filter(pl.col("user_id") == f"u{user}")
        assert mine["item_id"].to_list() == [item for item, _ in listed(bundle, f"u{user}", k=5, filters=only)]


def test_notes_say_what_is_short_and_what_is_unknown(bundle: Bundle, tmp_path: Path) -> None:
    ids = bundle.catalogue.ids(TYPE).to_list()
    some = bundle.recommend("stranger", TYPE, k=4, filters=Filters.of(available=[*ids[:3], "a03", "nothing"]))
    assert [row["item_id"] for row in some.rows if row["item_id"] not in ids[:3]] == []
    assert "fewer than 4: these are all 3 items that the filter allows" in some.note
    assert "2 of 5 available ids are of no podcast" in some.note
    nothing = bundle.recommend("u9", TYPE, filters=Filters.of(exclude=["nothing"]))
    assert "1 of 1 excluded ids are of no podcast" in nothing.note
    none = bundle.recommend("u9", TYPE, filters=Filters.of(available=[]))
    assert (none.rows, none.note) == ([], "fewer than 10: these are all 0 items that the filter allows")
    written = bundle.recommend_all(tmp_path / "x.parquet", [TYPE], k=4, filters=Filters.of(available=ids[:3]))
    assert written[TYPE].note == "fewer than 4: the filter allows 3 items"


def test_a_language_of_no_item_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    for call in (
        lambda: bundle.recommend("u9", TYPE, filters=Filters.of(["eng"])),
        lambda: bundle.recommend_all(tmp_path / "x.parquet", filters=Filters.of(["eng"])),
    ):
        with pytest.raises(
            InputError, match=r"(?s)no \w+ has the language 'eng'.*did you mean 'en'\? known: de, en, sv"
        ):
            call()


def test_the_commands_take_filters(bundle: Bundle, tmp_path: Path, graphkit: Callable[..., Result]) -> None:
    ids = bundle.catalogue.ids(TYPE).to_list()
    (tmp_path / "today.txt").write_text("\n".join(["", *ids[:16], f" {ids[16]} ", "gone"]), encoding="utf-8")
    (tmp_path / "not.txt").write_text(ids[2] + "\n", encoding="utf-8")
    files = ("--available", tmp_path / "today.txt", "--exclude", tmp_path / "not.txt", "--language", "en")
    done = graphkit("recommend", "--user", "u9", "--type", TYPE, "-k", 3, "--bundle", bundle.folder, *files, "--json")
    assert done.exit_code == 0, done.output
    only = Filters.of(["en"], available=[*ids[:17], "gone"], exclude=[ids[2]])
    got = json.loads(done.stdout)
    assert [(row["item_id"], row["score"]) for row in got["rows"]] == listed(bundle, "u9", k=3, filters=only)
    assert got["note"] == "1 of 18 available ids are of no podcast"
    out = tmp_path / "lists.parquet"
    done = graphkit("recommend-all", "--out", out, "--type", TYPE, "-k", 3, "--bundle", bundle.folder, *files)
    assert "1 of 18 available ids are of no podcast" in " ".join(done.output.split())
    mine = pl.read_parquet(out).filter(pl.col("user_id") == "u9")
    assert mine["item_id"].to_list() == [row["item_id"] for row in got["rows"]]
    done = graphkit("recommend", "--user", "u9", "--type", TYPE, "--bundle", bundle.folder, "--available", tmp_path)
    assert done.exit_code == 2
    assert "the list of item ids cannot be read" in done.stderr


def test_a_list_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="cannot be read"):
        read_ids(tmp_path / "x")
