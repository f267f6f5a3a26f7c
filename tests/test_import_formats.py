"""The same log in every format, layout and dtype becomes the same dataset, byte for byte."""

from __future__ import annotations

import gzip
import json
import tempfile
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from graphkit.artefacts import Batch
from graphkit.datasets.cards import find_card
from graphkit.datasets.store import Dataset
from tests.dataset_sources import CARD, import_source, items_frame, plays_frame, write_source

Write = Callable[[Path, pl.DataFrame], None]
BARE = CARD.replace('files = "plays.csv"', 'files = "{plays}"').replace('files = "items.csv"', 'files = "{items}"')


def tables(batch: Batch) -> dict[str, str]:
    """The hash of every file but ``dataset.json`` (which names the card)."""
    return {name: digest for name, digest in batch.manifest.files.items() if name.endswith(".parquet")}


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = write_source(tmp_path_factory.mktemp("csv") / "logs")
    return tables(import_source(folder, strict=True))


def write_jsonl(folder: Path, plays: pl.DataFrame) -> None:
    plays.write_ndjson(folder / "plays.jsonl")
    items = [{**row, "genre": row["genre"] and row["genre"].split("|")} for row in items_frame().rows(named=True)]
    text = "\n\n".join(json.dumps(row, ensure_ascii=False) for row in items)  # blank lines are no rows
    (folder / "items.jsonl").write_text(text, encoding="utf-8")


def write_parquet(folder: Path, plays: pl.DataFrame) -> None:
    typed = plays.with_columns(pl.from_epoch("timestamp", time_unit="s"), pl.col("item_type").cast(pl.Categorical))
    typed.write_parquet(folder / "plays.parquet")
    items_frame().with_columns(pl.col("genre").str.split("|")).write_parquet(folder / "items.parquet")


def write_tsv(folder: Path, plays: pl.DataFrame) -> None:
    plays.write_csv(folder / "plays.tsv", separator="\t")
    items_frame().write_csv(folder / "items.tsv", separator="\t")


def write_gzip(folder: Path, plays: pl.DataFrame) -> None:
    (folder / "plays.csv.gz").write_bytes(gzip.compress(plays.write_csv().encode()))
    (folder / "items.csv.gz").write_bytes(gzip.compress(b"\xef\xbb\xbf" + items_frame().write_csv().encode()))


def write_folder(folder: Path, plays: pl.DataFrame) -> None:
    (folder / "plays" / "deep").mkdir(parents=True)
    plays[:30].write_csv(folder / "plays" / "b.csv")
    plays[30:50].write_parquet(folder / "plays" / "a.parquet")
    plays[50:].write_ndjson(folder / "plays" / "deep" / "c.jsonl")
    (folder / "plays" / "_SUCCESS").write_text("")
    (folder / "plays" / "notes.md").write_text("not data")
    items_frame().write_csv(folder / "items.csv")


def write_globbed(folder: Path, plays: pl.DataFrame) -> None:
    plays[:30].write_csv(folder / "plays-2.csv")
    plays[30:].write_csv(folder / "plays-1.csv")
    (folder / "other.csv").write_text("nothing,to,see\n")
    items_frame().write_csv(folder / "items.csv")


def write_hive(folder: Path, plays: pl.DataFrame) -> None:
    for (item_type, signal), part in plays.group_by("item_type", "signal"):
        place = folder / "plays" / f"item_type={item_type}" / f"signal={signal}"
        place.mkdir(parents=True)
        part.drop("item_type", "signal").write_parquet(place / "part-0.parquet")
    items_frame().write_csv(folder / "items.csv")


def write_recbole(folder: Path, plays: pl.DataFrame) -> None:
    kinds = {"timestamp": "float", "seconds": "float"}
    plays = plays.with_columns(pl.col("timestamp").cast(pl.Float64))
    header = {name: f"{name}:{kinds.get(name, 'token')}" for name in plays.columns}
    plays.rename(header).write_csv(folder / "radio.inter", separator="\t", quote_style="never")
    items = items_frame().with_columns(pl.col("genre").str.replace("|", " ", literal=True))
    header = {"item_id": "item_id:token", "item_type": "item_type:token", "title": "title:token_seq",
              "genre": "genre:token_seq"}  # fmt: skip
    items.rename(header).write_csv(folder / "radio.item", separator="\t", quote_style="never")


LAYOUTS: dict[str, tuple[Write, str, str]] = {
    "JSON Lines": (write_jsonl, "plays.jsonl", "items.jsonl"),
    "Parquet": (write_parquet, "plays.parquet", "items.parquet"),
    "TSV": (write_tsv, "plays.tsv", "items.tsv"),
    "gzip": (write_gzip, "plays.csv.gz", "items.csv.gz"),
    "folder": (write_folder, "plays", "items.csv"),
    "glob": (write_globbed, "plays-*.csv", "items.csv"),
    "hive": (write_hive, "plays", "items.csv"),
    "RecBole": (write_recbole, "radio.inter", "radio.item"),
}


@pytest.mark.parametrize("layout", sorted(LAYOUTS))
def test_every_layout_gives_the_same_dataset(layout: str, expected: dict[str, str], tmp_path: Path) -> None:
    write, plays, items = LAYOUTS[layout]
    folder = tmp_path / "logs"
    folder.mkdir()
    write(folder, plays_frame().sample(fraction=1.0, shuffle=True, seed=1))
    (folder / "card.toml").write_text(BARE.format(plays=plays, items=items), encoding="utf-8")
    assert tables(import_source(folder, strict=True)) == expected


@pytest.mark.parametrize(
    ("unit", "column"),
    [
        ("ms", pl.col("timestamp") * 1000),
        ("us", pl.col("timestamp") * 1_000_000),
        ("auto", pl.col("timestamp") * 1000),
        ("auto", pl.col("timestamp")),
        ("iso", pl.from_epoch("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%SZ")),
        ("iso", pl.from_epoch("timestamp").dt.offset_by("2h").dt.strftime("%Y-%m-%d %H:%M:%S+02:00")),
        ("auto", pl.from_epoch("timestamp").dt.strftime("%Y-%m-%d %H:%M:%S")),
    ],
)
def test_every_unit_of_time_gives_the_same_dataset(
    unit: str, column: pl.Expr, expected: dict[str, str], tmp_path: Path
) -> None:
    folder = write_source(tmp_path / "logs", CARD.replace('unit = "s"', f'unit = "{unit}"'))
    plays_frame().with_columns(column.alias("timestamp")).write_csv(folder / "plays.csv")
    assert tables(import_source(folder, strict=True)) == expected


def test_a_single_file_may_be_the_source(expected: dict[str, str], tmp_path: Path) -> None:
    from graphkit.artefacts import Workspace
    from graphkit.config import load_config
    from graphkit.datasets.ingest import import_dataset

    folder = write_source(tmp_path / "logs")
    (folder / "plays.csv").rename(folder / "march.csv")
    batch = import_dataset(Workspace(tmp_path / "ws"), folder / "card.toml", folder / "march.csv", load_config())
    assert tables(batch) == expected


def test_the_same_source_is_imported_once(tmp_path: Path) -> None:
    folder = write_source(tmp_path / "logs")
    first = import_source(folder)
    assert import_source(folder).manifest == first.manifest
    plays_frame()[:-1].write_csv(folder / "plays.csv")
    assert import_source(folder).id != first.id


IDS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6).filter(lambda s: s.strip())


@settings(max_examples=25, deadline=None)
@given(
    users=st.lists(IDS, min_size=2, max_size=8, unique=True),
    items=st.lists(IDS, min_size=2, max_size=8, unique=True),
    as_csv=st.booleans(),
)
def test_any_id_comes_back_as_it_went_in(users: list[str], items: list[str], as_csv: bool) -> None:
    pairs = pl.DataFrame({"user_id": users}).join(pl.DataFrame({"item_id": items}), how="cross")
    kind = "csv" if as_csv else "parquet"
    card = f"""
name = "ids"
types = ["book"]
targets = ["book"]
strong = ["like"]
interactions = {{ files = "log.{kind}", constants = {{ item_type = "book", signal = "like" }} }}
items = {{ files = "items.{kind}", constants = {{ item_type = "book" }} }}
"""
    with tempfile.TemporaryDirectory() as root:
        folder = Path(root) / "logs"
        folder.mkdir()
        (folder / "card.toml").write_text(card, encoding="utf-8")
        for name, frame in (("log", pairs), ("items", pairs.select("item_id").unique())):
            path = folder / f"{name}.{kind}"
            frame.write_csv(path, quote_style="non_numeric") if as_csv else frame.write_parquet(path)
        dataset = Dataset.open(import_source(folder, strict=True))
        back = dataset.interactions().collect().join(dataset.users(), on="user").join(dataset.items(), on="item")
        assert set(back.select("user_id", "item_id").rows()) == set(pairs.rows())
        assert dataset.users()["user_id"].to_list() == sorted(users)
        assert dataset.items()["item_id"].to_list() == sorted(items)


def test_the_worked_card_reads_the_folder_it_describes(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    for day in range(1, 31):
        place = folder / "plays" / f"day=2024-03-{day:02}"
        place.mkdir(parents=True)
        at = [1_709_251_200_000 + (day - 1) * 86_400_000 + n for n in range(3)]
        pl.DataFrame(
            {"uid": ["u1", "u2", "u2"], "show": ["a1", "a1", f"p{day % 2}"], "kind": ["audiobook"] * 2 + ["podcast"],
             "played_at": at, "ms_played": [90_000, 45_000 + day, 29_999 + day % 2]}
        ).write_parquet(place / "part-0.parquet")  # fmt: skip
    (folder / "follows.csv").write_text("uid,show,kind,played_at\nu3,p0,podcast,2024-03-02T10:00:00+01:00\n")
    items = "a1,audiobook,A,,en,Crime ; Noir,M\np0,podcast,P,x,en,,\np1,podcast,Q,,,,\n"
    (folder / "catalogue.csv").write_text("id,kind,name,about,lang,topics,maker\n" + items)
    people = [{"uid": "u1", "born": 1988, "country": "SE", "since": "2023-11-05"}, {"uid": "u9", "country": "DE"}]
    (folder / "listeners.jsonl").write_text("\n".join(json.dumps(row) for row in people))
    (folder / "card.toml").write_text(find_card("example_logs").read_text())
    batch = import_source(folder, "split.horizon_days=7", "split.label_days=7", strict=True)
    dataset = Dataset.open(batch)
    rows = dataset.interactions().collect()
    assert batch.manifest.metrics["filtered_by_keep"] == {"interactions[1]": 15}
    assert dict(rows["signal"].value_counts().rows()) == {"stream": 75, "follow": 1}
    assert (
        rows.filter(pl.col("signal") == "follow")["timestamp"].to_list()[0].isoformat() == "2024-03-02T09:00:00+00:00"
    )
    assert rows.filter(pl.col("user") == 0)["seconds"].unique().to_list() == [90.0]
    assert dataset.items("audiobook")["genre"].to_list() == ["Crime|Noir"]
    assert dataset.users()["user_id"].to_list() == ["u1", "u2", "u3", "u9"]
    assert dataset.users()["age"].to_list() == [36, None, None, None]
    assert dataset.users()["registered_at"][0].isoformat() == "2023-11-05T00:00:00+00:00"
    assert dataset.meta.config == {"graph": {"window_days": 90}}
