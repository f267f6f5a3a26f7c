"""What the towers say of their examples is what they were trained on: a leak in their own code shows."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from towers_world import CUTOFF, LABEL_START, frame, interactions, make_world, quick_config, write_dataset, write_hgnn
from towers_world import write_graph as write_texts

import towers.sources
import towers.user_spec
from graphkit.artefacts import StageSpec, Workspace
from graphkit.audit.examples import CHECKS
from graphkit.audit.finding import Finding, finding
from graphkit.audit.run import AuditedRun
from graphkit.datasets.histories import read_histories
from graphkit.datasets.store import Dataset
from graphkit.graph.store import FIT
from graphkit.user_features import UserFeatures
from towers.examples import EXAMPLES_FILE
from towers.examples import write_examples as write_table
from towers.fit import read_task, train_towers
from towers.labels import Labels
from towers.sources import Sources, read_sources
from towers.user_spec import feature_spec


def write_examples(workspace: Workspace, *sets: str) -> None:
    """A towers batch with the examples that training would take, without the training."""
    config, upstream = quick_config(*sets), workspace.upstream("towers")
    task_sources = read_sources(upstream, config.towers)
    with workspace.begin(StageSpec.of("towers", config, upstream.values())) as work:
        task = read_task(task_sources, config.run.seed)
        write_table(work.path(EXAMPLES_FILE), task, task_sources.features_end(FIT))
        work.commit()


def world_of(root: Path, rows: pl.DataFrame) -> Workspace:
    workspace = Workspace(root)
    write_hgnn(workspace, write_texts(workspace, write_dataset(workspace, rows.sort("user", "timestamp"))))
    return workspace


def audited(root: Path) -> list[Finding]:
    """The checks of the towers alone: the other batches are made by hand, and hold what the towers read."""
    run = AuditedRun.open(Workspace(root))
    return [finding(check, run) for check in CHECKS]


def leaks(root: Path) -> dict[str, dict[str, Any]]:
    """The first offender of each leak in the towers' examples."""
    return {found.check: found.first_offender for found in audited(root) if found.is_leak}


@pytest.mark.parametrize("timed", [True, False])
def test_the_examples_are_those_that_were_trained_on(tmp_path: Path, timed: bool) -> None:
    batch = train_towers(make_world(tmp_path, timed), quick_config("towers.epochs=1"))
    table = pl.read_parquet(batch.path("examples.parquet"))
    counts = dict(table.filter(~pl.col("validation"))["item_type"].value_counts().rows())
    assert {f"{t} examples": n for t, n in counts.items()}.items() <= batch.manifest.row_counts.items()
    assert table.select("item_type", "user", "item").is_unique().all()
    assert table["features_end"].unique().to_list() == [LABEL_START if timed else None]
    assert table.schema == {
        "user": pl.UInt32, "item_type": pl.String, "item": pl.UInt32, "timestamp": pl.Datetime("ms", "UTC"),
        "validation": pl.Boolean, "weak": pl.Boolean, "pooled_items": pl.UInt32, "vectors": pl.UInt64,
        "features_end": pl.Datetime("ms", "UTC"),
    }  # fmt: skip
    expected = ["clean", "clean" if timed else "not applicable", "clean", "clean", "clean", "not applicable"]
    assert [found.result for found in audited(tmp_path)] == expected


def test_an_example_says_when_it_was_met_and_how_much_it_pools(tmp_path: Path) -> None:
    """Two podcasts and an audiobook before the label period; the label heard twice in it, followed before."""
    days = {1: 40, 2: 30, 3: 5}
    mine = [
        {"user": 2, "item_type": "podcast", "item": item, "signal": "stream", "split": "train",
         "timestamp": CUTOFF - timedelta(days=d)} for item, d in days.items()
    ]  # fmt: skip
    again = {**mine[2], "timestamp": CUTOFF - timedelta(days=2)}
    follow = {**mine[2], "signal": "follow", "timestamp": CUTOFF - timedelta(days=35)}
    book = {**mine[0], "item_type": "audiobook", "item": 7}
    others = interactions().filter(pl.col("user") != 2)
    workspace = world_of(tmp_path, pl.concat([others, frame([*mine, again, follow, book]).select(others.columns)]))
    write_examples(workspace)
    table = pl.read_parquet(workspace.current("towers").path(EXAMPLES_FILE)).filter(pl.col("user") == 2)
    assert table.select("item_type", "item", "timestamp", "pooled_items").rows() == [
        ("podcast", 3, CUTOFF - timedelta(days=5), 3)
    ]
    assert leaks(tmp_path) == {}


def test_examples_of_weak_signals_are_held_against_weak_rows(tmp_path: Path) -> None:
    """A follow of the label period is a clean weak example; called a strong one, or known before, it is none."""
    follow = {
        "user": 2, "item_type": "podcast", "item": 29, "signal": "follow", "split": "train",
        "timestamp": CUTOFF - timedelta(days=3),
    }  # fmt: skip
    earlier = {**follow, "timestamp": CUTOFF - timedelta(days=60)}
    rows = interactions().filter((pl.col("user") != 2) | (pl.col("item") != 29))
    workspace = world_of(tmp_path / "clean", pl.concat([rows, frame([follow]).select(rows.columns)]))
    write_examples(workspace, "towers.weak_weight=0.5")
    path = workspace.current("towers").path(EXAMPLES_FILE)
    assert pl.read_parquet(path).filter("weak").select("user", "item").rows() == [(2, 29)]
    assert leaks(tmp_path / "clean") == {}
    for name, spoil, where in (
        ("strong", lambda table: table.with_columns(weak=False), "labels are train rows of the label period"),
        ("known", lambda table: table, "labels are new to their user"),
    ):
        more = [follow, earlier] if name == "known" else [follow]
        other = world_of(tmp_path / name, pl.concat([rows, frame(more).select(rows.columns)]))
        with other.begin(StageSpec.of("towers", quick_config(), other.upstream("towers").values())) as work:
            spoil(pl.read_parquet(path)).write_parquet(work.path(EXAMPLES_FILE))
            work.commit()
        assert where in leaks(tmp_path / name)


def test_features_as_of_the_cutoff(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Sources, "features_end", lambda self, snapshot: self.dataset.meta.cutoff)
    write_examples(make_world(tmp_path))
    found = leaks(tmp_path)
    assert found["features end where the label period starts"]["features_end"] == CUTOFF.isoformat()
    assert "no example pools its label or a later row" in found


def test_histories_that_go_on_into_the_label_period(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def careless(dataset: Dataset, before: datetime | None, *rest: Any) -> Any:
        return read_histories(dataset, None if before is None else CUTOFF, *rest)

    monkeypatch.setattr(towers.user_spec, "read_histories", careless)
    write_examples(make_world(tmp_path))
    found = leaks(tmp_path)
    assert list(found) == ["no example pools its label or a later row"]
    assert f"{LABEL_START.isoformat()})" in found["no example pools its label or a later row"]["why"]


def test_histories_longer_than_the_settings_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_examples(make_world(tmp_path / "as set"), "towers.max_history=2")
    assert leaks(tmp_path / "as set") == {}
    monkeypatch.setattr(
        towers.user_spec, "read_histories", lambda data, before, days, *_: read_histories(data, before, days)
    )
    write_examples(make_world(tmp_path / "longer"), "towers.max_history=2")
    assert list(leaks(tmp_path / "longer")) == ["no example pools its label or a later row"]


def test_pools_that_the_settings_leave_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_examples(make_world(tmp_path / "as set"), "towers.user_inputs=[weak]")
    assert leaks(tmp_path / "as set") == {}
    everything = quick_config().towers
    monkeypatch.setattr(towers.sources, "feature_spec", lambda data, dim, _: feature_spec(data, dim, everything))
    write_examples(make_world(tmp_path / "all"), "towers.user_inputs=[weak]")
    assert list(leaks(tmp_path / "all")) == ["no example pools its label or a later row"]


def test_a_label_left_in_its_own_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    met = UserFeatures._met
    monkeypatch.setattr(
        UserFeatures, "_met", lambda self, pool, users, hide, drop: met(self, pool, users, None, drop)
    )
    write_examples(make_world(tmp_path, timed=False))
    assert list(leaks(tmp_path)) == ["no example pools its label or a later row"]


def test_labels_read_from_test_rows_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Dataset.interactions
    monkeypatch.setattr(Dataset, "interactions", lambda self, split=None, signals=None: read(self, None, signals))
    write_examples(make_world(tmp_path, timed=False))
    monkeypatch.undo()
    assert leaks(tmp_path)["labels are train rows of the label period"]["split"] == "test"


def test_labels_up_to_the_end_of_the_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cut-off is forgotten, and so is the split."""
    workspace, read = make_world(tmp_path), Dataset.interactions
    monkeypatch.setattr(Dataset, "interactions", lambda self, split=None, signals=None: read(self, None, signals))
    opened = Dataset.open
    late = {"cutoff": CUTOFF + timedelta(days=9)}
    monkeypatch.setattr(Dataset, "open", lambda batch: Dataset(batch, opened(batch).meta.model_copy(update=late)))
    write_examples(workspace)
    monkeypatch.undo()
    first = leaks(tmp_path)["labels are train rows of the label period"]
    assert first["timestamp"] == first["label_time"] >= CUTOFF.isoformat()


def test_labels_that_are_no_news(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = interactions()
    old = rows.filter((pl.col("user") == 3) & (pl.col("item_type") == "podcast") & (pl.col("signal") == "stream"))
    again = old.head(1).with_columns(timestamp=pl.lit(CUTOFF - timedelta(days=3)).dt.cast_time_unit("ms"))
    workspace = world_of(tmp_path, pl.concat([rows, again]))
    monkeypatch.setattr(pl.LazyFrame, "join", _without_anti(pl.LazyFrame.join))
    write_examples(workspace)
    monkeypatch.undo()
    first = leaks(tmp_path)["labels are new to their user"]
    assert (first["user_id"], first["item_id"]) == ("u3", f"podcast-{old['item'][0]}")
    assert first["timestamp"] == old["timestamp"][0].isoformat()


def _without_anti(join: Any) -> Any:
    """A join that forgets to leave out what was met before."""
    return lambda self, other, *args, how="inner", **options: (
        self if how == "anti" else join(self, other, *args, how=how, **options)
    )


def test_a_split_that_lets_a_user_into_both_sides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    of_users = Labels.of_users
    monkeypatch.setattr(
        Labels, "of_users", lambda self, chosen: of_users(self, chosen | (self.item_type == "podcast"))
    )
    write_examples(make_world(tmp_path))
    first = leaks(tmp_path)["no user is trained on and validated on"]
    assert first["side"] == "validation"
