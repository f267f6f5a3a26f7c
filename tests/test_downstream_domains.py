"""Kendall's correlation of what words the users of two types meet."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import downstream_world as world
import polars as pl
import pytest

from graphkit.artefacts import Workspace
from graphkit.downstream.domains import domain_correlations
from graphkit.downstream.world import World


def opened(root: Path, met: list[tuple[int, str, int]], titles: dict[tuple[str, int], str]) -> World:
    rows = world.interactions().head(0)
    made = pl.DataFrame(
        {
            "user": [user for user, _, _ in met],
            "item_type": [item_type for _, item_type, _ in met],
            "item": [item for _, _, item in met],
            "signal": "stream",
            "timestamp": world.CUTOFF - timedelta(days=50),
            "seconds": None,
            "split": "train",
        }
    ).cast(dict(rows.schema))
    workspace = world.make_world(root, rows=made)
    path = Workspace(root).current("dataset").folder / "items.parquet"
    items = pl.read_parquet(path)
    named = [titles.get(pair, "") for pair in items.select("item_type", "item").rows()]
    items.with_columns(pl.Series("title", named)).write_parquet(path)
    return World.of({name: workspace.peek(name) for name in ("dataset", "hgnn")}, world.quick_config())


def test_correlation_by_hand(tmp_path: Path) -> None:
    # audiobooks: crime 3, night 2, city 1; podcasts: crime 2, night 1, city 1, talk 1 (each user and item once)
    met = [(0, "audiobook", 0), (1, "audiobook", 0), (2, "audiobook", 1), (2, "audiobook", 1)]
    met += [(0, "podcast", 0), (1, "podcast", 1)]
    titles = {
        ("audiobook", 0): "Crime night",
        ("audiobook", 1): "CRIME, crime: city",
        ("podcast", 0): "crime night city",
        ("podcast", 1): "crime talk",
        ("podcast", 2): "nobody heard it",
    }
    (found,) = domain_correlations(opened(tmp_path, met, titles))
    # city (1, 1), crime (3, 2), night (2, 1), talk (0, 1): of six pairs three agree (crime above each), the others
    # tie in podcasts; tau-b = 3 / sqrt(6 · 3).
    assert (found["first"], found["second"]) == ("audiobook", "podcast")
    assert (found["tokens"], found["shared"]) == (4, 3)
    assert found["kendall"] == pytest.approx(3 / 18**0.5, abs=1e-6)


def test_types_without_words_are_left_out(tmp_path: Path) -> None:
    assert domain_correlations(opened(tmp_path, [(0, "audiobook", 0), (0, "podcast", 0)], {})) == []
