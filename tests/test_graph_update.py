"""A graph that starts from the last one: exactly the graph of a full build, or a full build."""

from __future__ import annotations

import tempfile
from pathlib import Path

import polars as pl
import pytest
from graph_logs import NUM_ITEMS, NUM_USERS, Row, day, meta_of, workspace_of
from hypothesis import given, settings
from hypothesis import strategies as st

from graphkit import schemas
from graphkit.artefacts import Batch, Workspace
from graphkit.config import load_config
from graphkit.graph import occurrences
from graphkit.graph.build import build_graph
from graphkit.graph.windows import Window

DAY = 24 * 60
OPTIONS = ["graph.incremental=true", "graph.empty_relations=keep", "graph.window_days=10", "graph.top_k=2"]
nodes = st.sampled_from([(kind, item) for kind, size in NUM_ITEMS.items() for item in range(size)])
#: In both windows of every cut-off, so that no graph is empty.
ALWAYS = [Row(user, kind, 0, d * DAY) for d in (13, 19) for user in (0, 1) for kind in ("audiobook", "podcast")]


@st.composite
def logs(draw: st.DrawFn) -> list[Row]:
    """Rows over forty days at distinct minutes."""
    minutes = draw(st.lists(st.integers(0, 40 * DAY), max_size=80, unique=True))
    users, signals = st.integers(0, NUM_USERS - 1), st.sampled_from(["stream", "stream", "follow"])
    rows = [Row(draw(users), *draw(nodes), minute, signal=draw(signals)) for minute in minutes]
    return [*ALWAYS, *rows]


def as_of(rows: list[Row], cutoff_day: float) -> list[Row]:
    """The rows up to the test period of a cut-off, split there."""
    known = [row for row in rows if row.minute < (cutoff_day + 3) * DAY]  # type: ignore[operator]
    return [row._replace(split="test") if row.minute >= cutoff_day * DAY else row for row in known]  # type: ignore[operator]


def dataset_as_of(root: Path, rows: list[Row], cutoff_day: float) -> Workspace:
    return workspace_of(root, as_of(rows, cutoff_day), meta_of(cutoff_day, cutoff_day - 4))


@given(
    logs(),
    st.sampled_from([0, 0.25, 1, 1.5, 2, 4, 6]),
    st.sampled_from(
        [
            [],
            ["graph.weight=lift", "graph.heavy_users=log", "graph.shrinkage=1"],
            ['graph.signal_weights={"follow": 0.5}', "graph.max_items_per_user=3"],
            ["graph.max_gap_days=0.5", 'graph.signal_weights={"follow": 0.5}'],
            ["graph.window_days=none"],
        ]
    ),
)
@settings(max_examples=25, deadline=None)
def test_an_update_gives_the_graph_of_a_full_build(rows: list[Row], days: float, options: list[str]) -> None:
    config = load_config(overrides=[*OPTIONS, *options])
    with tempfile.TemporaryDirectory() as folder:
        moving = dataset_as_of(Path(folder) / "moving", rows, 20)
        build_graph(moving, config)
        dataset_as_of(Path(folder) / "moving", rows, 20 + days)
        updated = build_graph(moving, config)
        fresh = build_graph(dataset_as_of(Path(folder) / "fresh", rows, 20 + days), config)
        assert days == 0 or updated.manifest.metrics["base"] is not None
        assert fresh.manifest.metrics["base"] is None
        assert (updated.id, updated.content_hash) == (fresh.id, fresh.content_hash)


def advance(root: Path, before: list[Row], after: list[Row], days: float = 1, *options: str) -> Batch:
    config = load_config(overrides=[*OPTIONS, *options])
    build_graph(dataset_as_of(root, before, 20), config)
    return build_graph(dataset_as_of(root, after, 20 + days), config)


def test_only_the_new_days_of_the_log_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    windows: list[Window] = []
    read = occurrences.Occurrences._log

    def spy(self: occurrences.Occurrences, window: Window) -> pl.LazyFrame:
        windows.append(window)
        return read(self, window)

    monkeypatch.setattr(occurrences.Occurrences, "_log", spy)
    advance(tmp_path, ALWAYS, ALWAYS)
    grouped = [window for window in windows if window.end == day(21) and window.start == day(20)]
    assert grouped, windows


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ([*ALWAYS, Row(3, "track", 1, 12 * DAY)], "has changed since"),  # a row that came late
        (ALWAYS[1:], "has changed since"),
        ([ALWAYS[0]._replace(item=2), *ALWAYS[1:]], "has changed since"),
    ],
)
def test_a_log_whose_past_changed_is_built_whole(
    tmp_path: Path, changed: list[Row], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    one_more = Row(2, "track", 2, 13 * DAY)
    changed = [*changed, one_more]
    batch = advance(tmp_path / "moving", [*ALWAYS, one_more], changed)
    assert batch.manifest.metrics["base"] is None
    assert says in capsys.readouterr().err
    fresh = dataset_as_of(tmp_path / "fresh", changed, 21)
    assert batch.content_hash == build_graph(fresh, load_config(overrides=OPTIONS)).content_hash


@pytest.mark.parametrize("days", [11, -1])
def test_a_window_that_jumped_is_built_whole(tmp_path: Path, days: int, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [*ALWAYS, *(row._replace(minute=27 * DAY) for row in ALWAYS)]
    assert advance(tmp_path, rows, rows, days).manifest.metrics["base"] is None
    assert "did not move forward within itself" in capsys.readouterr().err


def test_other_settings_are_built_whole(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    build_graph(dataset_as_of(tmp_path, ALWAYS, 20), load_config(overrides=OPTIONS))
    other = load_config(overrides=[*OPTIONS, "graph.weight=count"])
    batch = build_graph(dataset_as_of(tmp_path, ALWAYS, 21), other)
    assert batch.manifest.metrics["base"] is None
    assert "other settings" in capsys.readouterr().err


def test_new_users_may_shift_the_numbers(tmp_path: Path) -> None:
    """A user who sorts before the others gets number 0; the base is read under the new numbers."""
    config = load_config(overrides=OPTIONS)
    moving = dataset_as_of(tmp_path / "moving", ALWAYS, 20)
    build_graph(moving, config)
    shifted = [row._replace(user=row.user + 1) for row in ALWAYS] + [Row(0, "track", 1, 20 * DAY + 9)]
    meta = meta_of(21, 17).model_copy(update={"num_users": NUM_USERS + 1})
    roots = [tmp_path / "moving", tmp_path / "fresh"]
    for root in roots:
        workspace_of(root, as_of(shifted, 21), meta, newcomer="a-newcomer")
    updated, fresh = (build_graph(Workspace(root), config) for root in roots)
    assert updated.manifest.metrics["base"] is not None
    assert fresh.manifest.metrics["base"] is None
    assert updated.content_hash == fresh.content_hash


def test_a_user_who_left_the_log_takes_nothing_along(tmp_path: Path) -> None:
    """User 0 is known from a day before the window only, and is in the next day's log no more."""
    config = load_config(overrides=OPTIONS)
    log = [row._replace(user=row.user + 1) for row in ALWAYS]
    build_graph(workspace_of(tmp_path / "moving", as_of([Row(0, "track", 0, 0), *log], 20), meta_of(20, 16)), config)
    later = as_of(ALWAYS, 21)
    meta = meta_of(21, 17).model_copy(update={"num_users": NUM_USERS - 1})
    for root in ("moving", "fresh"):
        workspace_of(tmp_path / root, later, meta, first_user=1)
    updated, fresh = (build_graph(Workspace(tmp_path / root), config) for root in ("moving", "fresh"))
    assert updated.manifest.metrics["base"] is not None
    assert updated.content_hash == fresh.content_hash


def test_other_strong_signals_mean_a_full_build(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is strong is the dataset's to say, not the graph's settings."""
    config = load_config(overrides=OPTIONS)
    rows = [*ALWAYS, *(row._replace(user=5, signal="follow") for row in ALWAYS)]
    build_graph(dataset_as_of(tmp_path, rows, 20), config)
    meta = meta_of(21, 17).model_copy(update={"strong": ("stream", "follow"), "weak": ()})
    batch = build_graph(workspace_of(tmp_path, as_of(rows, 21), meta), config)
    assert batch.manifest.metrics["base"] is None
    assert "other signals count" in capsys.readouterr().err


def days_of(root: Path, rows: list[Row], newcomer: str | None = None) -> dict[str, tuple[int, int]]:
    """Rows and digest of each day of a log."""
    workspace = workspace_of(root, rows, meta_of(20, 16), newcomer=newcomer)
    table = pl.read_parquet(workspace.current("dataset").path(schemas.DAYS_FILE))
    return {str(when): (count, digest) for when, count, digest in table.iter_rows()}


def test_a_days_digest_knows_every_row(tmp_path: Path) -> None:
    rows = [*ALWAYS, Row(5, "track", 1, 17 * DAY), Row(5, "track", 2, 17 * DAY + 1, seconds=3)]
    expected = days_of(tmp_path / "a", rows)
    assert {when: count for when, (count, _) in expected.items()} == {
        "2024-01-14": 4, "2024-01-18": 2, "2024-01-20": 4,
    }  # fmt: skip
    assert days_of(tmp_path / "b", rows[::-1]) == expected
    renumbered = [row._replace(user=row.user + 1) for row in rows]
    assert days_of(tmp_path / "c", renumbered, newcomer="first") == expected
    for name, changed in {
        "item": [row._replace(item={1: 2, 2: 1}[row.item]) if row.user == 5 else row for row in rows],
        "type": [row._replace(item_type="podcast") if row.user == 5 else row for row in rows],
        "user": [row._replace(user=6) if row.user == 5 else row for row in rows],
        "time": [row._replace(minute=row.minute + 2) if row.user == 5 else row for row in rows],  # type: ignore[operator]
        "signal": [row._replace(signal="follow") if row.user == 5 else row for row in rows],
        "seconds": [row._replace(seconds=9) if row.user == 5 else row for row in rows],
    }.items():
        found = days_of(tmp_path / name, changed)
        assert found["2024-01-18"] != expected["2024-01-18"], name
        assert found["2024-01-14"] == expected["2024-01-14"]


def test_a_log_without_time_has_no_days(tmp_path: Path) -> None:
    assert days_of(tmp_path, [row._replace(minute=None) for row in ALWAYS]) == {}
