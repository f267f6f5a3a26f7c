"""What the report says of user vectors."""

from __future__ import annotations

from pathlib import Path

import downstream_world as world
import numpy as np
import polars as pl
import pytest

from graphkit.artefacts import Batch, Workspace
from graphkit.downstream.stage import evaluate_users
from graphkit.report.user_section import UserSection, user_section

GOOD, RANDOM, MEAN = "autoencoder", "clue", "mean embeddings"


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, Batch]:
    """A workspace with a perfect and a random encoder, and its batch; read only."""
    workspace = world.make_world(tmp_path_factory.mktemp("report"))
    world.write_encoder(workspace, GOOD, world.true_tastes())
    world.write_encoder(workspace, RANDOM, world.noise())
    settings = ("downstream.tasks=[cluster-country,profile-age]", "downstream.map_users=60")
    return workspace, evaluate_users(workspace, world.quick_config(*settings))


def section(measured: tuple[Workspace, Batch]) -> UserSection:
    return user_section(measured[1])


def test_a_row_is_marked_where_it_differs_from_the_mean(measured: tuple[Workspace, Batch]) -> None:
    found = section(measured)
    (table,) = found.tables
    rows = {row.model: row for row in table.rows}
    assert (rows[GOOD].verdict, rows[RANDOM].verdict, rows[MEAN].verdict) == ("above", "below", "even")
    assert rows[GOOD].value.startswith("0.99") or rows[GOOD].value == "1.000"
    assert rows[MEAN].difference == ""
    assert "two values" in found.left_out["profile-age"]
    assert {row["model"] for row in found.costs} == {"popularity", MEAN, "NMF", GOOD, RANDOM} - {"popularity"}
    assert next(row for row in found.costs if row["model"] == GOOD)["width"] == world.TASTES


def test_a_map_shows_the_same_users_in_every_space(measured: tuple[Workspace, Batch]) -> None:
    drawn = pl.read_parquet(measured[1].path("map.parquet"))
    by_model = drawn.partition_by("model", as_dict=True)
    ids = {tuple(part["user_id"]) for part in by_model.values()}
    assert len(by_model) == 4
    assert len(ids) == 1
    assert len(next(iter(ids))) == 60
    good = by_model[(GOOD,)]
    expected = [world.COUNTRIES[int(name[1:]) % world.TASTES] for name in good["user_id"]]
    assert good["country"].to_list() == expected
    assert set(good["genre"].drop_nulls()) <= {"crime", "poetry"}
    points, country = good.select("x", "y").to_numpy(), np.array(expected)
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    same = country[:, None] == country[None]
    assert distance[same].mean() < 0.5 * distance[~same].mean()


def test_maps_are_coloured_by_what_is_known(measured: tuple[Workspace, Batch]) -> None:
    found = section(measured)
    titles = [panel.title for panel in found.maps]
    assert f"{GOOD}, by country" in titles
    assert not [title for title in titles if "age" in title]  # nobody's is known
    panel = found.maps[titles.index(f"{GOOD}, by country")]
    assert [label.split(" ")[0] for _, label in panel.legend] == sorted(world.COUNTRIES)
    assert panel.image.startswith("data:image/png;base64,")


def test_the_page_has_the_section_and_none_without_a_batch(measured: tuple[Workspace, Batch], tmp_path: Path) -> None:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    import graphkit.report.page as page

    environment = Environment(
        loader=FileSystemLoader(Path(page.__file__).parent), autoescape=True, undefined=StrictUndefined
    )
    environment.filters["count"] = "{:,}".format
    marks = {"above": "▲", "below": "▼", "even": "·"}
    text = environment.get_template("users.html.j2").render(users=section(measured), marks=marks)
    assert "cluster-country: nDCG@50" in text
    assert 'class="above"' in text
    assert "profile-age does not apply" in text
