"""The page: every section that has something to show, nothing loaded from elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from evaluation_world import CONFIG, random_rows, write_dataset, write_graph, write_hgnn, write_towers

from graphkit.artefacts import Workspace
from graphkit.errors import ArtefactError
from graphkit.evaluation.evaluate import evaluate
from graphkit.report.charts import Panel, epoch_panels
from graphkit.report.formatting import duration, figure, memory, signed
from graphkit.report.item_map import sample_items
from graphkit.report.page import render, write_report

SIZES = {"book": 15, "song": 20}
STATISTICS = [
    {"name": "hours made by the busiest 25 % of users", "measured": 0.7312, "target": 0.75, "comparison": "about",
     "unit": "share of hours", "scope": "all users", "planted": True},
    {"name": "distinct items per user", "measured": 7.0, "target": None, "comparison": None, "unit": "items, median",
     "scope": "all users", "planted": True, "quantiles": {"0.5": 7, "0.99": 1234}, "users": 24},
]  # fmt: skip


def make_world(root: Path) -> Workspace:
    write_dataset(root, random_rows(0, 24, SIZES), SIZES, 24, planted=True, statistics=STATISTICS)
    return Workspace(root)


def page_of(workspace: Workspace) -> str:
    return write_report(workspace, CONFIG).path("report.html").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[Workspace, str]:
    """A workspace with every stage but the bundle, and its page."""
    workspace = make_world(tmp_path_factory.mktemp("report"))
    write_graph(workspace)
    write_hgnn(workspace)
    write_towers(workspace)
    evaluate(workspace, CONFIG)
    return workspace, page_of(workspace)


class Elements(HTMLParser):
    """Tags with their attributes, ids, and tags left open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.found if name == tag]


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


def test_every_section_is_there(whole: tuple[Workspace, str]) -> None:
    sections = [attrs["id"] for attrs in Elements(whole[1]).of("section")]
    assert sections == ["data", "graph", "training", "results", "map", "run"]


def test_the_statistics_stand_beside_their_targets_and_say_planted(whole: tuple[Workspace, str]) -> None:
    text = text_of(whole[1])
    assert "hours made by the busiest 25 % of users planted share of hours · all users 73.1 % about 75.0 %" in text
    assert "distinct items per user 24 7 1,234" in text
    assert "Generated data." in text


def test_the_graph_shows_its_edges_and_warnings(whole: tuple[Workspace, str]) -> None:
    text = text_of(whole[1])
    assert "book-song 1 1" in text
    assert "Warning: the relation book-song has no edges in the &#39;fit&#39; graph." in text
    assert "book 15 90.0 % 14 (93.3 %) 14 (93.3 %)" in text


def test_every_result_is_on_the_page_and_the_best_is_marked(whole: tuple[Workspace, str]) -> None:
    workspace, page = whole
    results = pl.read_parquet(workspace.current("evaluation").path("results.parquet"))
    table = page[page.index("book, warm users <span") :]
    table = table[: table.index("</table>")]
    cell = results.filter(pl.col("target_type") == "book", pl.col("group") == "warm")
    for row in cell.iter_rows(named=True):
        assert figure(row["value"]) in table
    best = cell.filter(pl.col("metric") == "HR@10")["value"].max()
    assert isinstance(best, float)
    assert f'class="best">{figure(best)}<' in table
    assert "2T-HGNN minus each peer" in page


def test_every_stage_has_its_cost_and_settings(whole: tuple[Workspace, str]) -> None:
    workspace, page = whole
    run = page[page.index('id="run"') :]
    for stage in ("dataset", "graph", "hgnn", "towers", "evaluation"):
        assert workspace.current(stage).id in run
    assert "evaluation.bootstrap = 50" in run
    assert re.search(r"\d (M|G)iB", run)


def test_nothing_is_loaded_from_elsewhere(whole: tuple[Workspace, str]) -> None:
    page = whole[1]
    assert not re.search(r"https?://|@import|<script|<link", page)
    elements = Elements(page)
    for _, attrs in elements.found:
        for name in ("src", "href", "xlink:href"):
            assert (attrs.get(name) or "#").startswith(("#", "data:image/png;base64,"))
    assert all(not target or target.startswith("#") for target in re.findall(r"url\(([^)]*)\)", page))


def test_pictures_have_words_and_ids_are_unique(whole: tuple[Workspace, str]) -> None:
    elements = Elements(whole[1])
    # Two target types with figure 2 and a heat map each, degrees, two models' training, results.
    assert len(elements.of("svg")) == 8
    assert all(attrs["aria-label"] for attrs in elements.of("svg"))
    assert len(elements.of("img")) == 2
    assert all(attrs["alt"] for attrs in elements.of("img"))
    ids = [attrs["id"] for _, attrs in elements.found if "id" in attrs]
    assert len(ids) == len(set(ids))
    used = re.findall(r'(?:href="|url\()#([^")]+)', whole[1])
    assert used
    assert set(used) <= set(ids)


def test_names_from_the_data_are_escaped(whole: tuple[Workspace, str]) -> None:
    assert "small &lt;world&gt;" in whole[1]
    assert "small <world>" not in whole[1]


def test_the_same_batches_give_the_same_page(whole: tuple[Workspace, str]) -> None:
    workspace, page = whole
    stages = ("dataset", "graph", "hgnn", "towers", "evaluation")
    assert render({stage: workspace.current(stage) for stage in stages}, CONFIG) == page


@pytest.mark.parametrize("last", ["dataset", "graph", "hgnn"])
def test_missing_stages_are_named_and_left_out(tmp_path: Path, last: str) -> None:
    workspace = make_world(tmp_path)
    makers: dict[str, Callable[[Workspace], object]] = {"graph": write_graph, "hgnn": write_hgnn}
    made = ["dataset"]
    for stage, make in makers.items():
        if last != made[-1]:
            make(workspace)
            made.append(stage)
    page = page_of(workspace)
    sections = [attrs["id"] for attrs in Elements(page).of("section")]
    expected = {"dataset": [], "graph": ["graph"], "hgnn": ["graph", "training", "map"]}[last]
    assert sections == ["data", *expected, "run"]
    assert "No towers yet." in text_of(page)
    assert "graphkit train-towers" in page


def test_a_batch_made_from_an_older_one_is_called_out_of_date(tmp_path: Path) -> None:
    workspace = make_world(tmp_path)
    graph = write_graph(workspace)
    write_dataset(tmp_path, random_rows(1, 24, SIZES), SIZES, 24)
    page = text_of(page_of(workspace))
    assert f"graph was made from dataset {graph.manifest.upstream['dataset']}" in page


def test_rejected_rows_are_shown(tmp_path: Path) -> None:
    workspace = make_world(tmp_path)
    rejected = {"table": ["items", "items"], "file": ["a.csv", "a.csv"], "row": [3, 9], "reason": ["not UTF-8"] * 2}
    pl.DataFrame(rejected).write_parquet(workspace.current("dataset").path("rejected.parquet"))
    assert "items not UTF-8 2 a.csv, row 3" in text_of(page_of(workspace))


def test_a_workspace_without_a_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtefactError, match="no dataset yet"):
        write_report(Workspace(tmp_path), CONFIG)


def test_the_map_takes_as_many_of_each_type_and_small_types_whole() -> None:
    chosen = sample_items({"song": 1000, "book": 10, "film": 500}, 110, seed=0)
    assert {name: len(rows) for name, rows in chosen.items()} == {"song": 50, "book": 10, "film": 50}
    assert list(chosen) == ["song", "book", "film"]
    assert all(len(np.unique(rows)) == len(rows) for rows in chosen.values())
    assert sum(map(len, sample_items({"song": 5}, 110, seed=0).values())) == 5


def test_a_chart_takes_names_as_they_are() -> None:
    chart = epoch_panels("odd", [1, 2], [Panel("$a$ & <b>", "y", {"x_1 <": [1.0, None], "$": [2, 3]})], 1, 'a "b"')
    assert "$a$ &amp; &lt;b&gt;" in chart
    assert 'aria-label="a &#34;b&#34;"' in chart


def test_numbers_as_people_read_them() -> None:
    assert [figure(v) for v in (0.1234, 0.00123, 0, 1)] == ["0.123", "0.0012", "0.000", "1.000"]
    assert [signed(v) for v in (0.5, -0.002, 0)] == ["+0.500", "\N{MINUS SIGN}0.0020", "0.000"]
    assert [duration(s) for s in (0.44, 12.3, 185, 7620)] == ["0.4 s", "12 s", "3 min 05 s", "2 h 07 min"]
    assert [memory(n) for n in (512 * 2**20, 3 * 2**29)] == ["512 MiB", "1.5 GiB"]
