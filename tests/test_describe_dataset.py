"""``graphkit describe dataset``: on a small world with planted tastes, on datasets that lack something, and
on the real packs."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from click.testing import Result
from evaluation_world import CONFIG, Row, random_rows, write_dataset, write_graph

from graphkit.artefacts import Workspace
from graphkit.config import load_config
from graphkit.datasets.ingest import import_dataset
from graphkit.datasets.store import Dataset
from graphkit.describe.dataset import DatasetDescription, describe_dataset, measure_dataset
from graphkit.describe.figures import Figure, NotMeasurable
from graphkit.describe.pairs import Gap
from graphkit.describe.tables import headings, tables
from graphkit.describe.weak_signals import WeakSignals
from graphkit.graph.build import build_graph

SIZES = {"book": 40, "song": 40}
WORDS = (("dragon", "castle", "wizard"), ("stock", "market", "profit"))


def two_camps(num_users: int = 80, seed: int = 0) -> list[Row]:
    """Users of two camps: each keeps to its half of the books and of the songs; a preview comes before a book."""
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(num_users):
        for item_type in SIZES:
            for item in rng.choice(20, 3, replace=False) + 20 * (user % 2):
                rows.append(Row(user, item_type, int(item), days_before=5))
                rows += [Row(user, item_type, int(item), signal="preview", days_before=9)] * (item % 2)
        rows += [Row(user, "book", int(item), signal="preview", days_before=9) for item in rng.choice(40, 2)]
        rows.append(Row(user, "book", 39 - user % 40, split="test", days_before=-1))
    return rows


def give_texts(dataset: Dataset) -> None:
    """Titles of each half share their words."""
    path = dataset.batch.path("items.parquet")
    half = pl.col("item") // 20
    title = pl.when(half == 0).then(pl.lit(" ".join(WORDS[0]))).otherwise(pl.lit(" ".join(WORDS[1])))
    pl.read_parquet(path).with_columns(title=title + " " + pl.col("item_id")).write_parquet(path)


@pytest.fixture
def camps(tmp_path: Path) -> Dataset:
    dataset = write_dataset(tmp_path, two_camps(), SIZES, 80)
    give_texts(dataset)
    return dataset


def described(dataset: Dataset, **options: Any) -> DatasetDescription:
    return measure_dataset(dataset, None, CONFIG, **options)


def reasons(found: DatasetDescription) -> str:
    """Everything that the terminal says of a description, as one text."""
    rows = [str(value) for _, table in tables(found) for row in table for value in row.values()]
    return "\n".join([*headings(found), *rows])


def test_planted_tastes_and_texts_are_seen(camps: Dataset) -> None:
    found = described(camps)
    book = found.targets[0]
    assert [target.target for target in found.targets] == ["book", "song"]
    assert book.scope == "all 80 book users, the last 90 days of train"
    assert book.text_model == "TF-IDF"
    gaps = [book.taste, book.text, *(book.through.values() if isinstance(book.through, dict) else [])]
    assert len(gaps) == 3
    for gap in gaps:
        assert isinstance(gap, Gap)
        assert gap.difference.low > 0
    verdicts = {(o.number, o.target): o.verdict for o in found.observations}
    assert list(verdicts) == [(number, name) for number in (1, 2, 3, 4) for name in ("book", "song")]
    assert verdicts[2, "book"] == verdicts[3, "book"] == "holds"
    assert verdicts[1, "book"] == "does not hold"


def test_without_camps_nothing_is_found(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    rows = [
        Row(user, item_type, int(item), days_before=5)
        for user in range(80)
        for item_type in SIZES
        for item in rng.choice(40, 3, replace=False)
    ]
    dataset = write_dataset(tmp_path, rows, SIZES, 80)
    give_texts(dataset)
    book = described(dataset).targets[0]
    assert isinstance(book.taste, Gap)
    assert isinstance(book.text, Gap)
    assert abs(book.taste.difference.value) < 0.1
    assert book.text.difference.low < 0 < book.text.difference.high


def test_a_generated_dataset_proves_nothing(tmp_path: Path) -> None:
    found = described(write_dataset(tmp_path, two_camps(), SIZES, 80, planted=True))
    assert {o.verdict for o in found.observations if o.number < 4} == {"planted"}
    assert "no finding" in reasons(found)


def test_no_test_row_is_read(camps: Dataset) -> None:
    before = asdict(described(camps))
    path = camps.batch.path("interactions/part-00000.parquet")
    rows = pl.read_parquet(path)
    rows.filter(pl.col("split") == "train").write_parquet(path)
    assert asdict(described(camps)) == before
    shifted = pl.when(pl.col("split") == "test").then((pl.col("item") + 7) % 40).otherwise(pl.col("item"))
    rows.with_columns(item=shifted.cast(pl.UInt32)).write_parquet(path)
    assert asdict(described(camps)) == before


def test_taste_is_learned_from_the_other_types_alone(camps: Dataset, tmp_path: Path) -> None:
    """With the songs of every user drawn anew, sharing a book says nothing about taste in songs."""
    rng = np.random.default_rng(0)
    rows = [row if row.item_type == "book" else row._replace(item=int(rng.integers(40))) for row in two_camps()]
    mixed = described(write_dataset(tmp_path / "mixed", rows, SIZES, 80)).targets[0].taste
    kept = described(camps).targets[0].taste
    assert isinstance(mixed, Gap)
    assert isinstance(kept, Gap)
    assert abs(mixed.difference.value) < 0.1 < kept.difference.low


def test_the_same_seed_gives_the_same_figures_and_another_one_other_pairs(camps: Dataset) -> None:
    one, again = (asdict(described(camps)) for _ in range(2))
    other = asdict(measure_dataset(camps, None, load_config("default", ["run.seed=8"])))
    assert one == again
    assert one != other


def test_a_large_dataset_is_measured_on_a_stated_sample(camps: Dataset) -> None:
    found = described(camps, max_users=30)
    book = found.targets[0]
    assert book.scope.startswith("27 of 80 book users")
    assert isinstance(book.weak, WeakSignals)
    assert book.weak.scope.startswith("27 of 80 users")
    assert isinstance(book.users, type(found.everyone))
    assert book.users.count == 80  # concentration is of all


def test_the_graph_s_text_vectors_are_used_where_they_belong_to_the_dataset(tmp_path: Path) -> None:
    write_dataset(tmp_path, two_camps(), SIZES, 80)
    workspace = Workspace(tmp_path)
    graph = write_graph(workspace)
    assert describe_dataset(workspace, CONFIG).targets[0].text_model == "Sentence-BERT"
    write_dataset(tmp_path, two_camps(seed=1), SIZES, 80, name="another")
    assert workspace.current("graph").id == graph.id
    assert describe_dataset(workspace, CONFIG).targets[0].text_model == "TF-IDF"


def test_random_vectors_in_place_of_texts_are_not_compared(tmp_path: Path) -> None:
    write_dataset(tmp_path, two_camps(), SIZES, 80, timed=False)
    workspace = Workspace(tmp_path)
    build_graph(workspace, load_config(overrides=["text.model=none", "graph.empty_relations=keep"]))
    assert describe_dataset(workspace, CONFIG).targets[0].text_model == "TF-IDF"


def test_what_the_data_do_not_carry_is_said(tmp_path: Path) -> None:
    rows = [row for row in two_camps() if row.item_type == "book"]
    dataset = write_dataset(tmp_path, rows, {"book": 40}, 80, timed=False)
    path = dataset.batch.path("items.parquet")
    pl.read_parquet(path).with_columns(title=pl.lit(None, pl.String)).write_parquet(path)
    found = described(dataset)
    said = reasons(found)
    for reason in (
        "interactions are counted, not hours: seconds are missing in 100.0% of the rows",
        "there is one item type only, so no taste in another",
        "fewer than two listened titles of book have a text",
        "there are no timestamps, so nothing says which signals came before a stream",
    ):
        assert reason in said
    book = found.targets[0]
    assert book.scope.endswith("all of train")
    assert isinstance(book.weak, WeakSignals)  # which signals go together needs no times
    assert [o.verdict for o in found.observations] == ["does not hold", *["not measurable"] * 3]


def test_a_dataset_without_weak_signals_says_so(tmp_path: Path) -> None:
    found = described(write_dataset(tmp_path, two_camps(), SIZES, 80, weak=()))
    assert found.targets[0].weak == NotMeasurable("the dataset has no weak signals")
    assert "the dataset has no weak signals" in reasons(found)


def test_a_target_that_nobody_listens_to_is_described_as_such(tmp_path: Path) -> None:
    rows = [row for row in two_camps() if row.item_type == "song"]
    found = described(write_dataset(tmp_path, rows, SIZES, 80))
    book = found.targets[0]
    assert book.users == NotMeasurable("no interactions in the window")
    assert isinstance(book.taste, NotMeasurable)
    assert book.weak == NotMeasurable("no book has a weak signal in train")
    assert {o.verdict for o in found.observations if o.target == "book"} == {"not measurable"}
    assert isinstance(found.everyone, type(found.targets[1].users))


def test_signals_after_the_stream_do_not_count(tmp_path: Path) -> None:
    rows = [
        Row(user, "book", 0, signal=signal, days_before=day)
        for user in range(40)
        for signal, day in [("preview", 9), *[("preview", 8)] * (user % 5), ("preview", 1)]
    ]
    rows += [Row(user, "book", 0, days_before=5) for user in range(0, 40, 2)]
    weak = described(write_dataset(tmp_path, rows, SIZES, 80)).targets[0].weak
    assert isinstance(weak, WeakSignals)
    assert isinstance(weak.odds, list)
    assert (weak.odds[0].pairs, weak.odds[0].streamed) == (40, 20)
    one_more = weak.odds[0].one_more
    # Every pair has one more preview after the stream, or after the day there was none: it counts there only.
    assert isinstance(one_more, Figure)
    assert one_more.high < 1


# --- the command ----------------------------------------------------------------------------------------


def files(root: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in root.rglob("*")}


def test_the_command_prints_tables_or_json_and_writes_nothing(
    tmp_path: Path, graphkit: Callable[..., Result]
) -> None:
    write_dataset(tmp_path, random_rows(0, 24, SIZES), SIZES, 24)
    write_graph(Workspace(tmp_path))
    before = files(tmp_path)
    shown = graphkit("describe", "dataset", "-w", tmp_path)
    assert shown.exit_code == 0, shown.output
    for words in ("observations of the paper", "A: concentration", "Gini", "weak signal"):
        assert words in shown.output
    both = json.loads(graphkit("describe", "-w", tmp_path, "--json").output)
    assert list(both) == ["dataset", "graph"]
    curve = both["dataset"]["targets"][0]["titles"]
    assert len(curve["curve"]) == len(curve["steps"]) == 21
    assert {"value", "low", "high"} == set(curve["gini"])
    assert [o["number"] for o in both["dataset"]["observations"]] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert list(json.loads(graphkit("describe", "graph", "-w", tmp_path, "--json").output)) == ["graph"]
    assert files(tmp_path) == before


def test_the_window_is_that_of_the_graph(tmp_path: Path, graphkit: Callable[..., Result]) -> None:
    write_dataset(tmp_path, random_rows(0, 24, SIZES), SIZES, 24)
    words = ("describe", "dataset", "-w", tmp_path, "--json", "--set")
    short, whole = (graphkit(*words, f"graph.window_days={days}").output for days in (10, "none"))
    titles = [json.loads(output)["dataset"]["targets"][0]["titles"] for output in (short, whole)]
    assert json.loads(whole)["dataset"]["window"] == "all of train"
    assert titles[0]["curve"] != titles[1]["curve"]


def test_without_a_dataset_or_a_graph_it_says_what_to_do(tmp_path: Path, graphkit: Callable[..., Result]) -> None:
    nothing = graphkit("describe", "-w", tmp_path / "new")
    assert nothing.exit_code == 2
    assert "no dataset yet" in nothing.output
    assert "graphkit import" in nothing.output
    assert not (tmp_path / "new").exists()
    write_dataset(tmp_path, random_rows(0, 24, SIZES), SIZES, 24)
    no_graph = graphkit("describe", "graph", "-w", tmp_path)
    assert no_graph.exit_code == 2
    assert "no graph yet" in no_graph.output
    assert "graphkit build-graph" in no_graph.output
    assert graphkit("describe", "-w", tmp_path).exit_code == 0
    assert graphkit("describe", "towers", "-w", tmp_path).exit_code == 2


def test_likes_of_books_films_and_music(data_packs: Path, tmp_path: Path) -> None:
    pack = data_packs / "eswc2015"
    if not pack.is_dir():
        pytest.skip("no pack eswc2015")
    workspace = Workspace(tmp_path)
    config = load_config("default")
    import_dataset(workspace, "eswc2015", pack, config)
    found = measure_dataset(Dataset.current(workspace), None, config, max_users=3000)
    assert [target.target for target in found.targets] == ["book", "movie", "music"]
    for target in found.targets:
        assert isinstance(target.titles, type(found.everyone))
        assert 0.75 < target.titles.top_share.value < 0.85
        assert isinstance(target.taste, Gap)
        assert target.taste.difference.low > 0
    assert {o.verdict for o in found.observations if o.number == 4} == {"not measurable"}
