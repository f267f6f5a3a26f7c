"""Bad sources: rows that are rejected, counted and shown; tables that are refused; nothing good lost."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from graphkit.artefacts import Workspace
from graphkit.errors import ConfigError, DataError, GraphkitError
from tests.dataset_sources import CARD, DAY, START, import_source, items_frame, plays_frame, write_source

Edit = Callable[[Path], None]
NUM_PLAYS = 72


def plays(row: int, **values: object) -> Edit:
    """Put values into one data row (from 1) of the plays, as a CSV of text."""

    def edit(folder: Path) -> None:
        frame = pl.read_csv(folder / "plays.csv", infer_schema=False)
        at = pl.int_range(pl.len()) == row - 1
        spoilt = {
            name: pl.when(at).then(pl.lit(value, pl.String)).otherwise(pl.col(name)) for name, value in values.items()
        }
        frame.with_columns(**spoilt).write_csv(folder / "plays.csv")

    return edit


def column(**values: pl.Expr) -> Edit:
    """Replace whole columns of the plays."""

    def edit(folder: Path) -> None:
        plays_frame().with_columns(**values).write_csv(folder / "plays.csv")

    return edit


def content(name: str, body: bytes) -> Edit:
    def edit(folder: Path) -> None:
        (folder / name).write_bytes(body)

    return edit


def replace(name: str, old: bytes, new: bytes) -> Edit:
    def edit(folder: Path) -> None:
        before = (folder / name).read_bytes()
        assert old in before
        (folder / name).write_bytes(before.replace(old, new, 1))

    return edit


def append(name: str, text: str) -> Edit:
    def edit(folder: Path) -> None:
        with (folder / name).open("a", encoding="utf-8") as file:
            file.write(text)

    return edit


def card(old: str, new: str) -> Edit:
    return replace("card.toml", old.encode(), new.encode())


def chain(*edits: Edit) -> Edit:
    def edit(folder: Path) -> None:
        for each in edits:
            each(folder)

    return edit


# case: (edit, the rows of rejected.parquet as (file, row, column, reason, value))
REJECTED: dict[str, tuple[Edit, tuple[str, int, str, str, str | None]]] = {
    "no user": (plays(3, user_id=None), ("plays.csv", 3, "user_id", "null key", None)),
    "no item": (plays(4, item_id=None), ("plays.csv", 4, "item_id", "null key", None)),
    "unknown type": (plays(5, item_type="song"), ("plays.csv", 5, "item_type", "unknown item type", "song")),
    "unknown item": (plays(6, item_id="x9"), ("plays.csv", 6, "item_id", "unknown item", "x9")),
    "item of another type": (plays(1, item_type="podcast"), ("plays.csv", 1, "item_id", "unknown item", "i1")),
    "unlisted signal": (
        plays(7, signal="buy"),
        ("plays.csv", 7, "signal", "signal not listed in the card", "buy"),
    ),
    "milliseconds": (
        plays(8, timestamp=str(START * 1000)),
        ("plays.csv", 8, "timestamp", "mixed timestamp units", str(START * 1000)),
    ),
    "milliseconds, unit by majority": (
        chain(card('timestamp_unit = "s"', ""), plays(8, timestamp=str(START * 1000))),
        ("plays.csv", 8, "timestamp", "mixed timestamp units", str(START * 1000)),
    ),
    "the future": (
        plays(9, timestamp="4000000000"),
        ("plays.csv", 9, "timestamp", "timestamp in the future", "2096-10-02 07:06:40.000+00:00"),
    ),
    "no time": (plays(10, timestamp=None), ("plays.csv", 10, "timestamp", "null timestamp", None)),
    "no such time": (
        plays(10, timestamp="yesterday"),
        ("plays.csv", 10, "timestamp", "unparseable value", "yesterday"),
    ),
    "NaN": (plays(11, seconds="NaN"), ("plays.csv", 11, "seconds", "NaN seconds", "NaN")),
    "infinity": (plays(11, seconds="inf"), ("plays.csv", 11, "seconds", "NaN seconds", "inf")),
    "negative": (plays(12, seconds="-1.5"), ("plays.csv", 12, "seconds", "negative seconds", "-1.5")),
    "no number": (plays(13, seconds="1:30"), ("plays.csv", 13, "seconds", "unparseable value", "1:30")),
    "too many fields": (
        append("plays.csv", "u1,i1,audiobook,stream,1700000000,5,extra\n"),
        ("plays.csv", NUM_PLAYS + 1, "(whole row)", "too many fields", "extra"),
    ),
    "far too many fields": (
        append("plays.csv", "u1,i1,audiobook,stream,1700000000,5,a,b,c,d\n"),
        ("plays.csv", NUM_PLAYS + 1, "(whole row)", "too many fields", "a"),
    ),
    "not UTF-8": (replace("plays.csv", b"u5,", b"u\xe9,"), ("plays.csv", 31, "user_id", "not UTF-8", "u\ufffd")),
    "duplicate item": (
        append("items.csv", "i2,audiobook,Again,\n"),
        ("items.csv", 9, "item_id", "duplicate item id", "i2"),
    ),
    "item without id": (append("items.csv", ",podcast,Nameless,\n"), ("items.csv", 9, "item_id", "null key", None)),
    "item of unknown type": (
        append("items.csv", "i9,song,La,\n"),
        ("items.csv", 9, "item_type", "unknown item type", "song"),
    ),
    "title not UTF-8": (
        chain(append("items.csv", "i9,podcast,@,\n"), replace("items.csv", b"@", b"\xff")),
        ("items.csv", 9, "title", "not UTF-8", "\ufffd"),
    ),
}


@pytest.mark.parametrize("case", sorted(REJECTED))
def test_a_bad_row_is_rejected_counted_and_kept(case: str, tmp_path: Path) -> None:
    edit, (file, row, column_name, reason, value) = REJECTED[case]
    folder = write_source(tmp_path / "logs")
    edit(folder)
    batch = import_source(folder)
    kept = pl.read_parquet(batch.path("rejected.parquet"))
    assert kept.columns == ["table", "file", "row", "column", "reason", "value"]
    assert kept.row(0)[1:] == (file, row, column_name, reason, value)
    assert batch.manifest.metrics["rejected"] == {reason: 1}
    assert batch.manifest.row_counts["rejected"] == kept.height == 1
    rows = NUM_PLAYS - 1 if file == "plays.csv" and row <= NUM_PLAYS else NUM_PLAYS
    assert batch.manifest.row_counts["interactions"] == rows
    assert batch.manifest.row_counts["items"] == 8


@pytest.mark.parametrize("case", sorted(REJECTED))
def test_strict_refuses_a_bad_row_with_its_place_and_the_way_out(case: str, tmp_path: Path) -> None:
    edit, (file, row, column_name, reason, value) = REJECTED[case]
    folder = write_source(tmp_path / "logs")
    edit(folder)
    with pytest.raises(DataError) as caught:
        import_source(folder, strict=True)
    error = caught.value
    assert (error.exit_code, error.where) == (2, f"{folder / file}, row {row}, column {column_name}")
    assert reason in str(error.found)
    assert value is None or repr(value) in str(error.found)
    assert error.fix
    assert not Workspace(tmp_path / "ws").has("dataset")


def test_a_good_source_is_not_faulted(tmp_path: Path) -> None:
    batch = import_source(write_source(tmp_path / "logs"), strict=True)
    assert batch.manifest.metrics["rejected"] == {}
    assert not batch.path("rejected.parquet").exists()
    assert batch.manifest.row_counts["interactions"] == NUM_PLAYS


def test_a_lost_item_takes_its_interactions_along_and_both_are_told(tmp_path: Path) -> None:
    folder = write_source(tmp_path / "logs")
    items_frame().filter(pl.col("item_id") != "i1").write_csv(folder / "items.csv")
    with_i1 = plays_frame().filter(pl.col("item_id") == "i1").height
    assert import_source(folder).manifest.metrics["rejected"] == {"unknown item": with_i1}


def test_repeated_rows_are_dropped_and_counted_not_rejected(tmp_path: Path) -> None:
    folder = write_source(tmp_path / "logs")
    again = plays_frame().head(3).with_columns(seconds=1.0)
    pl.concat([plays_frame(), again]).write_csv(folder / "plays.csv")
    batch = import_source(folder, strict=True)
    assert batch.manifest.metrics["duplicates_dropped"] == 3
    assert (
        batch.content_hash == import_source(write_source(tmp_path / "once" / "logs")).content_hash
    )  # the longest stay


# case: (edit, the exception, words of where, words of what is said)
REFUSED: dict[str, tuple[Edit, type[GraphkitError], str, tuple[str, ...]]] = {
    "missing column": (
        replace("plays.csv", b"user_id", b"userid"),
        DataError,
        "plays.csv",
        ("missing column 'user_id'", "did you mean 'userid'", "item_type", "columns.user_id"),
    ),
    "missing mapped column": (
        card('unit = "s"', 'unit = "s"\ncolumns.seconds = "secs"'),
        DataError,
        "plays.csv",
        ("missing column 'secs'", "seconds"),
    ),
    "another separator": (
        replace("items.csv", b"item_id,item_type,title,genre", b"item_id;item_type;title;genre"),
        DataError,
        "items.csv",
        ("missing column 'item_id'", "separated by another character"),
    ),
    "wrong type": (
        column(seconds=pl.lit("long")),
        DataError,
        "plays.csv, row 1, column seconds",
        ("wrong type", "numbers", "'long'"),
    ),
    "wrong type of time": (
        column(timestamp=pl.lit("noon")),
        DataError,
        "plays.csv, row 1, column timestamp",
        ("wrong type", "timestamps", "'noon'"),
    ),
    "wrong unit": (
        column(timestamp=pl.col("timestamp") * 1000),
        DataError,
        "plays.csv, row 1, column timestamp",
        ("72 of 72 rows", "mixed timestamp units", "timestamp_unit"),
    ),
    "no rows": (content("plays.csv", b"user_id,item_id,item_type,signal,timestamp\n"), DataError, "plays.csv", ()),
    "empty file": (content("plays.csv", b""), DataError, "plays.csv", ("empty file", "0 bytes")),
    "blank file": (content("plays.csv", b"\n\n  \n"), DataError, "plays.csv", ("blank lines",)),
    "Parquet called CSV": (content("plays.csv", b"PAR1\x15\x00"), DataError, "plays.csv", ("Parquet file", "CSV")),
    "gzip called CSV": (content("plays.csv", gzip.compress(b"a,b")), DataError, "plays.csv", ("gzip",)),
    "UTF-16": (content("plays.csv", "user_id,item_id".encode("utf-16")), DataError, "plays.csv", ("UTF-16",)),
    "JSON called CSV": (content("plays.csv", b'{"a": 1}\n'), DataError, "plays.csv", ("JSON text",)),
    "CSV called Parquet": (
        chain(content("plays.parquet", b"user_id,item_id\n1,2\n"), card("plays.csv", "plays.parquet")),
        DataError,
        "plays.parquet",
        ("not what its ending says", "'user_id,item_id'"),
    ),
    "cut Parquet": (
        chain(content("plays.parquet", b"PAR1" + b"\0" * 60), card("plays.csv", "plays.parquet")),
        DataError,
        "plays.parquet",
        ("cut short",),
    ),
    "damaged Parquet": (
        chain(content("plays.parquet", b"PAR1" + b"\7" * 60 + b"PAR1"), card("plays.csv", "plays.parquet")),
        DataError,
        "plays.parquet",
        ("cannot be read as parquet",),
    ),
    "JSON array": (
        chain(content("plays.jsonl", b'[{"user_id": 1}]'), card("plays.csv", "plays.jsonl")),
        DataError,
        "plays.jsonl",
        ("JSON array", "one object a line"),
    ),
    "broken gzip": (
        chain(
            content("plays.csv.gz", gzip.compress(b"user_id,item_id\n" * 99)[:-9]), card("plays.csv", "plays.csv.gz")
        ),
        DataError,
        "plays.csv.gz",
        ("broken gzip",),
    ),
    "not RecBole": (
        chain(content("plays.inter", b"user_id\titem_id\n1\t2\n"), card("plays.csv", "plays.inter")),
        DataError,
        "plays.inter",
        ("name:type", "'user_id'"),
    ),
    "unknown ending": (
        chain(content("plays.dat", b"x"), card("plays.csv", "plays.dat")),
        DataError,
        "plays.dat",
        ("format", ".parquet"),
    ),
    "no such file": (card("plays.csv", "play.csv"), DataError, "play.csv", ("did you mean 'plays.csv'",)),
    "glob without match": (card("plays.csv", "plays-*.csv"), DataError, "plays-*.csv", ("plays.csv",)),
    "one user": (column(user_id=pl.lit("u1")), DataError, "plays.csv", ("at least two users", "1 user")),
    "target without interactions": (
        column(item_type=pl.lit("podcast"), item_id=pl.lit("i5")),
        DataError,
        "plays.csv",
        ("'audiobook'", "podcast: "),
    ),
    "target without strong interactions": (
        column(signal=pl.when(pl.col("item_type") == "audiobook").then(pl.lit("follow")).otherwise("signal")),
        DataError,
        "plays.csv",
        ("'audiobook' has no interactions", "stream"),
    ),
    "time split without time": (
        chain(column(timestamp=pl.lit(None)), card("[items]", '[split]\nkind = "time"\n[items]')),
        DataError,
        "",
        ("every timestamp is null", "random"),
    ),
    "everything filtered": (
        card('unit = "s"', 'unit = "s"\nkeep.seconds = { min = 1000 }'),
        DataError,
        "plays.csv",
        ("`keep` leaves no row", "72 rows"),
    ),
    "fixed split without a column": (
        card("[items]", '[split]\nkind = "fixed"\n[items]'),
        ConfigError,
        "",
        ("split column", "constants.split"),
    ),
    "more than half rejected": (
        column(item_id=pl.lit("x") + pl.col("item_id")),
        DataError,
        "plays.csv, row 1, column item_id",
        ("72 of 72 rows", "max_rejected_share", "unknown item", "catalogue"),
    ),
}


@pytest.mark.parametrize("case", sorted(REFUSED))
def test_a_bad_source_is_refused_and_the_good_dataset_stays(case: str, tmp_path: Path) -> None:
    edit, kind, where, words = REFUSED[case]
    folder = write_source(tmp_path / "logs")
    good = import_source(folder)
    edit(folder)
    with pytest.raises(kind) as caught:
        import_source(folder)
    error = caught.value
    assert error.exit_code == 2
    assert where in str(error.where or "")
    assert error.fix or error.expected
    assert [word for word in words if word not in str(error)] == [], str(error)
    kept = Workspace(tmp_path / "ws").current("dataset")
    assert (kept.id, kept.content_hash) == (good.id, good.content_hash)


def test_a_source_that_is_not_there_is_refused(tmp_path: Path) -> None:
    from graphkit.config import load_config
    from graphkit.datasets.ingest import import_dataset

    with pytest.raises(DataError, match="does not exist"):
        import_dataset(Workspace(tmp_path), "eswc2015", tmp_path / "nowhere", load_config())


def test_the_share_that_may_be_rejected_is_a_setting(tmp_path: Path) -> None:
    folder = write_source(tmp_path / "logs")
    plays(5, item_type="song")(folder)
    with pytest.raises(DataError, match="1 of 72 rows"):
        import_source(folder, "dataset.max_rejected_share=0.01")
    assert import_source(folder, "dataset.max_rejected_share=0.02").manifest.row_counts["rejected"] == 1


def test_a_row_has_one_reason_and_rows_are_in_source_order(tmp_path: Path) -> None:
    folder = write_source(tmp_path / "logs")
    chain(plays(9, seconds="-1"), plays(2, item_type="song", signal="buy", seconds="nan"))(folder)
    kept = pl.read_parquet(import_source(folder).path("rejected.parquet"))
    assert kept.select("row", "reason").rows() == [(2, "unknown item type"), (9, "negative seconds")]


def test_a_rejected_row_is_named_by_the_columns_of_its_source(tmp_path: Path) -> None:
    folder = write_source(tmp_path / "logs")
    chain(
        plays(2, timestamp="soon"),
        replace("plays.csv", b"timestamp", b"at"),
        card('unit = "s"', 'unit = "s"\ncolumns.timestamp = "at"'),
    )(folder)
    assert pl.read_parquet(import_source(folder).path("rejected.parquet"))["column"].to_list() == ["at"]
    with pytest.raises(DataError, match=r"row 2, column at \(timestamp\)"):
        import_source(folder, strict=True)


def test_broken_lines_of_json_are_rejected_by_line(tmp_path: Path) -> None:
    folder = write_source(tmp_path / "logs")
    lines = plays_frame().write_ndjson().splitlines()
    lines[4:4] = ["", '{"user_id": "u1", ', "[1, 2]"]
    (folder / "plays.jsonl").write_text("\n".join(lines))
    card("plays.csv", "plays.jsonl")(folder)
    kept = pl.read_parquet(import_source(folder).path("rejected.parquet"))
    assert kept.select("row", "reason", "value").rows() == [
        (6, "not a JSON object", '{"user_id": "u1",'),
        (7, "not a JSON object", "[1, 2]"),
    ]


def test_parquet_text_that_is_not_utf8_costs_its_rows_only(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = write_source(tmp_path / "logs")
    raw = [name.encode() for name in plays_frame()["user_id"]]
    raw[2] = b"u\xe9"
    column_of_bytes = pa.array(raw, type=pa.binary())
    as_text = pa.StringArray.from_buffers(len(raw), *column_of_bytes.buffers()[1:])
    table = plays_frame().to_arrow().set_column(0, "user_id", as_text)
    pq.write_table(table, folder / "plays.parquet")
    card("plays.csv", "plays.parquet")(folder)
    kept = pl.read_parquet(import_source(folder).path("rejected.parquet"))
    assert kept.select("row", "column", "reason").rows() == [(3, "user_id", "not UTF-8")]


def test_pandas_marks_of_missing_values_are_understood(tmp_path: Path) -> None:
    folder = write_source(tmp_path / "logs", CARD + "\n[users]\nfiles = 'users.parquet'\n")
    ids = {f"u{n}": float(n) for n in range(12)}
    number = plays_frame().with_columns(pl.col("user_id").replace_strict(ids, return_dtype=pl.Float64))
    number.write_parquet(folder / "plays.parquet")  # integers with a hole become floats
    people = {"user_id": [1.0, 2.0, 2.0, 3.0], "age": [30.0, float("nan"), 31.0, 200.0]}
    pl.DataFrame(people).write_parquet(folder / "users.parquet")
    card("plays.csv", "plays.parquet")(folder)
    batch = import_source(folder)
    users = pl.read_parquet(batch.path("users.parquet"))
    assert users["user_id"].to_list() == sorted(str(n) for n in range(12))
    assert dict(users.select("user_id", "age").drop_nulls().rows()) == {"1": 30}
    assert batch.manifest.metrics["rejected"] == {"duplicate user id": 1, "implausible age": 1}


def test_tables_disagree_on_time(tmp_path: Path) -> None:
    two = CARD.replace("[interactions]", "[[interactions]]", 1) + '\n[[interactions]]\nfiles = "more.csv"\n'
    folder = write_source(tmp_path / "logs", two)
    plays_frame().drop("timestamp").write_csv(folder / "more.csv")
    with pytest.raises(DataError, match=r"interactions\[2\] has no timestamp"):
        import_source(folder)


def test_playlists_are_read_and_checked(tmp_path: Path) -> None:
    folder = write_source(tmp_path / "logs", CARD + "\n[playlists]\nfiles = 'lists.csv'\n")
    rows = "p1,i5,podcast,2\np1,i4,podcast,1\np2,nowhere,podcast,1\np2,i0,audiobook,-3\n"
    (folder / "lists.csv").write_text("playlist_id,item_id,item_type,position\n" + rows)
    batch = import_source(folder)
    found = pl.read_parquet(batch.path("playlists.parquet"))
    assert found.rows() == [("p1", "podcast", 0, 1), ("p1", "podcast", 1, 2)]
    assert batch.manifest.metrics["rejected"] == {"unknown item": 1, "unparseable value": 1}


def test_the_future_begins_now(tmp_path: Path) -> None:
    folder = write_source(tmp_path / "logs")
    column(timestamp=pl.col("timestamp") + 40 * 365 * DAY)(folder)
    with pytest.raises(DataError, match="timestamp in the future"):
        import_source(folder)
