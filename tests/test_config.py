"""Presets, overrides, and what they refuse."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphkit.config import Config, load_config, preset_names
from graphkit.console import as_toml
from graphkit.errors import ConfigError
from graphkit.resources import folder


def test_the_presets_are_there() -> None:
    assert preset_names() == ["default", "demo", "laboratory", "paper"]


def test_paper_preset_holds_the_papers_hyperparameters() -> None:
    config = load_config("paper")
    hgnn, towers = config.hgnn, config.towers
    assert (hgnn.batch_size, hgnn.learning_rate, hgnn.epochs, hgnn.patience) == (256, 0.001, 50, 10)
    assert (towers.batch_size, towers.learning_rate, towers.epochs, towers.loss) == (128, 0.001, 10, "linear")
    assert (*towers.hidden, towers.out_dim) == (512, 256, 128)
    assert config.graph.window_days == 90
    assert config.graph.top_k is None
    clue, bert = config.clue, config.shopperbert
    assert (clue.dim, clue.layers, clue.heads, clue.max_behaviours, clue.vocabulary) == (720, 8, 6, 512, 50_257)
    assert (clue.learning_rate, clue.weight_decay, clue.clip_norm, clue.batch_size) == (0.0005, 0.1, 0.01, 256)
    assert (bert.dim, bert.layers, bert.heads, bert.max_behaviours, bert.batch_size) == (550, 20, 10, 350, 128)


def test_default_preset_is_the_defaults() -> None:
    assert load_config("default") == Config()


@pytest.mark.parametrize("name", ["default", "demo", "paper"])
def test_a_preset_lists_only_keys_that_exist(name: str) -> None:
    tables = tomllib.loads((folder("configs") / f"{name}.toml").read_text())
    resolved = load_config(name)
    assert all(hasattr(getattr(resolved, section), key) for section, table in tables.items() for key in table)


def test_overrides_win_over_what_the_card_recommends_over_the_preset() -> None:
    recommended = {"hgnn": {"epochs": 3, "batch_size": 7}, "graph": {"window_days": "none"}}
    config = load_config("paper", ["hgnn.batch_size=9"], recommended)
    assert (config.hgnn.epochs, config.hgnn.batch_size, config.graph.window_days) == (3, 9, None)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("hgnn.epoch=3", "did you mean 'epochs'"),
        ("hgn.epochs=3", "did you mean 'hgnn'"),
        ("hgnn.epochs=many", "valid integer"),
        ("hgnn.epochs=0", "greater than 0"),
        ("hgnn.margin=NaN", "finite number"),
        ("epochs=3", "section.key=value"),
        ("graph.window_days=-1", "greater than 0"),
    ],
)
def test_a_wrong_override_says_what_is_right(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config("default", [override])


def test_an_unknown_preset_and_a_broken_file_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'paper'"):
        load_config("papr")
    broken = tmp_path / "mine.toml"
    broken.write_text("[hgnn\n")
    with pytest.raises(ConfigError, match="not valid TOML"):
        load_config(str(broken))


@given(epochs=st.integers(1, 10**6), top_k=st.none() | st.integers(1, 10**6))
@settings(deadline=None)
def test_printed_configuration_reads_back_the_same(epochs: int, top_k: int | None) -> None:
    config = load_config("demo", [f"hgnn.epochs={epochs}", f"graph.top_k={'none' if top_k is None else top_k}"])
    tables = tomllib.loads(as_toml(config))
    assert load_config("default", recommended=tables) == config
