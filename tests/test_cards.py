"""Dataset cards: the bundled ones hold, and a mistake in one is told with what was meant."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from graphkit.config import load_config
from graphkit.datasets.cards import card_names, find_card, read_card
from graphkit.errors import ConfigError
from tests.dataset_sources import CARD

NAMES = ["amazon2014_dev", "eswc2015", "example_logs", "gowalla_lightgcn", "ml_latest_small", "podcasts_catalogue"]


def test_the_bundled_cards_are_there() -> None:
    assert card_names() == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_bundled_card_is_valid_and_so_is_what_it_recommends(name: str) -> None:
    card = read_card(name)
    assert card.name == name
    load_config(recommended=card.config)


@pytest.mark.parametrize("name", NAMES)
def test_a_bundled_card_says_what_it_is_in_its_first_line(name: str) -> None:
    assert find_card(name).read_text(encoding="utf-8").startswith("# ")


@pytest.mark.parametrize("given", ["eswc2015", "eswc2015.toml", "data/eswc2015.toml"])
def test_a_bundled_card_is_found_from_any_folder(given: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert find_card(given).name == "eswc2015.toml"


def test_a_card_of_ones_own_goes_before_a_bundled_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(find_card("gowalla_lightgcn"), tmp_path / "eswc2015.toml")
    monkeypatch.chdir(tmp_path)
    assert read_card("eswc2015.toml").name == "gowalla_lightgcn"


@pytest.mark.parametrize("given", ["eswc2051", "nowhere/eswc2015.toml"])
def test_an_unknown_card_lists_the_bundled_ones(given: str) -> None:
    with pytest.raises(ConfigError, match="did you mean 'eswc2015'") as caught:
        read_card(given)
    assert "podcasts_catalogue" in str(caught.value)


MISTAKES = {
    "unknown key": ('name = "radio"', 'nam = "radio"', ("unknown key 'nam'", "did you mean 'name'")),
    "unknown key of a table": (
        "timestamp_unit",
        "timestamp_units",
        ("interactions", "did you mean 'timestamp_unit'"),
    ),
    "unknown canonical column": ('unit = "s"', 'unit = "s"\ncolumns.user = "u"', ("did you mean 'user_id'",)),
    "unknown unit": ('unit = "s"', 'unit = "sec"', ("timestamp_unit", "'sec'")),
    "unknown filter": ('unit = "s"', 'unit = "s"\nkeep.rating = { mn = 4 }', ("keep", "did you mean 'min'")),
    "target that is no type": ('["audiobook"]', '["audiobok"]', ("did you mean 'audiobook'",)),
    "signal on both lists": ('["follow"]', '["stream"]', ("'stream' is both strong and weak",)),
    "no strong signal": ('strong = ["stream"]', "strong = []", ("strong is empty",)),
    "constant that is no type": ('"items.csv"', '"items.csv"\nconstants.item_type = "bok"', ("'bok'", "audiobook")),
    "constant that is no signal": ('unit = "s"', 'unit = "s"\nconstants.signal = "strem"', ("mean 'stream'",)),
    "absolute path": ('"items.csv"', '"/items.csv"', ("relative to the source folder",)),
    "missing name": ('name = "radio"', "", ("'name'", "required")),
    "not TOML": ('name = "radio"', "name = radio", ("not valid TOML",)),
    "unknown config key": ('"items.csv"', '"items.csv"\n[config.graph]\ntop = 3', ("did you mean 'top_k'",)),
    "unknown config section": ('"items.csv"', '"items.csv"\n[config.grph]\ntop_k = 3', ("did you mean 'graph'",)),
}


@pytest.mark.parametrize("mistake", sorted(MISTAKES))
def test_a_mistake_names_the_file_and_what_was_meant(mistake: str, tmp_path: Path) -> None:
    right, wrong, words = MISTAKES[mistake]
    path = tmp_path / "mine.toml"
    path.write_text(CARD.replace(right, wrong, 1), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        read_card(path)
    message = str(caught.value)
    assert caught.value.exit_code == 2
    assert [word for word in ("mine.toml", *words) if word not in message] == [], message


def test_one_table_may_be_written_without_double_brackets(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(CARD, encoding="utf-8")
    assert [label for label, _ in read_card(path).tables()] == ["items", "interactions"]
    assert [label for label, _ in read_card("gowalla_lightgcn").tables()] == ["interactions[1]", "interactions[2]"]
