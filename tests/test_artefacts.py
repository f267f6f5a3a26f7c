"""Batches: atomic, checked, rotated, resumable, and never mixed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from graphkit.artefacts import Batch, StageSpec, Workspace
from graphkit.config import Config, load_config
from graphkit.errors import ArtefactError, WorkspaceError
from graphkit.stages import ALL_STAGES

CONFIG = load_config("default")


def write(workspace: Workspace, stage: str, text: str = "x", config: Config = CONFIG, inputs: str = "") -> Batch:
    upstream = workspace.upstream(stage).values()
    spec = StageSpec.of(stage, config, upstream, {"source": inputs})
    with workspace.begin(spec) as work:
        work.path("data/part.txt").write_text(text)
        return work.commit()


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ws")


def test_a_batch_is_found_again_by_what_it_was_made_from(workspace: Workspace) -> None:
    batch = write(workspace, "dataset")
    same, other = StageSpec.of("dataset", CONFIG, inputs={"source": ""}), load_config("default", ["run.seed=1"])
    found = workspace.finished(same)
    assert found is not None
    assert found.content_hash == batch.content_hash
    assert workspace.finished(StageSpec.of("dataset", other, inputs={"source": ""})) is None


def test_settings_of_another_stage_do_not_change_a_batch_id() -> None:
    changed = load_config("default", ["hgnn.epochs=3"])
    assert StageSpec.of("dataset", CONFIG).batch_id == StageSpec.of("dataset", changed).batch_id
    assert StageSpec.of("hgnn", CONFIG).batch_id != StageSpec.of("hgnn", changed).batch_id


def test_a_batch_of_files_that_hold_something_else_by_now_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    before = {stage: StageSpec.of(stage, CONFIG).batch_id for stage in ("dataset", "downstream")}
    revised = ALL_STAGES["downstream"]._replace(revision=ALL_STAGES["downstream"].revision + 1)
    monkeypatch.setitem(ALL_STAGES, "downstream", revised)
    after = {stage: StageSpec.of(stage, CONFIG).batch_id for stage in before}
    assert after["dataset"] == before["dataset"]
    assert after["downstream"] != before["downstream"]


def test_a_flipped_byte_is_refused_by_name(workspace: Workspace) -> None:
    batch = write(workspace, "dataset")
    batch.path("data/part.txt").write_text("y")
    with pytest.raises(ArtefactError, match=r"(?s)hash mismatch.*part\.txt.*graphkit sample"):
        workspace.current("dataset")


def test_a_missing_file_and_a_half_written_manifest_are_refused(workspace: Workspace) -> None:
    batch = write(workspace, "dataset")
    batch.path("data/part.txt").unlink()
    with pytest.raises(ArtefactError, match="missing"):
        workspace.current("dataset")
    manifest = batch.path("manifest.json")
    manifest.write_text(manifest.read_text()[:100])
    with pytest.raises(ArtefactError, match="cannot be read"):
        workspace.current("dataset")


def test_another_schema_version_is_refused(workspace: Workspace) -> None:
    manifest = write(workspace, "dataset").path("manifest.json")
    manifest.write_text(json.dumps(json.loads(manifest.read_text()) | {"schema_version": 99}))
    with pytest.raises(ArtefactError, match="schema version 99"):
        workspace.current("dataset")


def test_rotation_keeps_current_and_legacy_only(workspace: Workspace) -> None:
    ids = [write(workspace, "dataset", inputs=str(i)).id for i in range(3)]
    assert workspace.rotation("dataset") == {"current": ids[2], "legacy": ids[1]}
    kept = {path.name for path in workspace.stage_dir("dataset").iterdir() if path.is_dir()}
    assert kept == {ids[1], ids[2]}


def test_a_failed_stage_leaves_the_good_batch_and_its_checkpoint(workspace: Workspace) -> None:
    good = write(workspace, "dataset")
    spec = StageSpec.of("dataset", CONFIG, inputs={"source": "other"})

    def fail() -> None:
        with workspace.begin(spec) as work:
            work.checkpoint_dir.mkdir()
            (work.checkpoint_dir / "epoch").write_text("3")
            work.path("half.txt").write_text("half")
            raise RuntimeError("the power went")

    with pytest.raises(RuntimeError, match="power"):
        fail()
    assert workspace.current("dataset").id == good.id
    with workspace.begin(spec) as work:
        assert [p.name for p in work.folder.iterdir()] == ["checkpoint"]
        assert (work.checkpoint_dir / "epoch").read_text() == "3"
        batch = work.commit()
    assert list(batch.manifest.files) == []
    assert not batch.path("checkpoint").exists()


def test_checkpoints_last_until_the_batch_is_whole(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    spec = StageSpec.of("dataset", CONFIG)

    def full_disk(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with workspace.begin(spec) as work:
        work.checkpoint_dir.mkdir()
        (work.checkpoint_dir / "epoch").write_text("9")
        work.path("data.txt").write_text("whole")
        with monkeypatch.context() as patch:
            patch.setattr("graphkit.artefacts.work.write_synced", full_disk)
            with pytest.raises(OSError, match="No space left"):
                work.commit()
        assert (work.checkpoint_dir / "epoch").read_text() == "9"
        batch = work.commit()
    assert list(batch.manifest.files) == ["data.txt"]
    assert not batch.path("checkpoint").exists()


def test_a_batch_that_another_process_finished_first_is_replaced_whole(workspace: Workspace) -> None:
    spec = StageSpec.of("dataset", CONFIG)
    for text in ("first", "second"):
        with workspace.begin(spec) as work:
            work.path("data.txt").write_text(text)
            work.commit()
    assert workspace.current("dataset").path("data.txt").read_text() == "second"
    assert [path.name for path in workspace.stage_dir("dataset").glob(".partial-*")] == []


def test_a_second_process_at_the_same_stage_is_refused(workspace: Workspace) -> None:
    spec = StageSpec.of("dataset", CONFIG)
    with (
        workspace.begin(spec),
        pytest.raises(WorkspaceError, match="another graphkit process"),
        workspace.begin(spec),
    ):
        pass


def test_batches_of_two_chains_are_never_mixed(workspace: Workspace) -> None:
    old = write(workspace, "dataset", inputs="1")
    write(workspace, "graph")
    write(workspace, "hgnn")
    assert set(workspace.upstream("towers")) == {"dataset", "graph", "hgnn"}
    new = write(workspace, "dataset", inputs="2")
    with pytest.raises(
        ArtefactError, match=rf"(?s)expected: +dataset batch {old.id}.*found: +dataset batch {new.id}"
    ):
        workspace.upstream("towers")


def test_an_unwritable_workspace_is_named(tmp_path: Path) -> None:
    blocker = tmp_path / "file"
    blocker.write_text("not a folder")
    spec = StageSpec.of("dataset", CONFIG)
    with pytest.raises(WorkspaceError, match="cannot be written"), Workspace(blocker).begin(spec):
        pass


def test_a_missing_stage_names_its_command(workspace: Workspace) -> None:
    with pytest.raises(ArtefactError, match="graphkit build-graph"):
        workspace.current("graph")
