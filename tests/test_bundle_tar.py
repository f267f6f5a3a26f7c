"""``graphkit export --tar``: one file, the same bytes every time, and a bundle again once it is unpacked."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from tiny_towers import exported_workspace

from graphkit import Bundle
from graphkit.artefacts import Workspace
from graphkit.artefacts.archive import write_tar
from graphkit.errors import InputError

Cli = Callable[..., Result]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return exported_workspace(tmp_path_factory.mktemp("tiny"))


def test_an_unpacked_tar_serves_and_is_proved(workspace: Workspace, tmp_path: Path, graphkit: Cli) -> None:
    out = tmp_path / "bundle.tar"
    done = graphkit("export", "--tar", out, "-w", workspace.root, "--json")
    assert done.exit_code == 0, done.output
    printed = json.loads(done.output)
    assert (printed["tar"], printed["fresh"]) == (str(out), False)
    with tarfile.open(out) as archive:
        archive.extractall(tmp_path, filter="data")
    bundle = workspace.current("bundle")
    folder = tmp_path / f"bundle-{bundle.id}"
    assert sorted(p.name for p in folder.iterdir()) == sorted(p.name for p in bundle.folder.iterdir())
    assert Bundle.open(folder).recommend("u9", "podcast") == Bundle.open(bundle).recommend("u9", "podcast")
    assert graphkit("bundle", "verify", folder).exit_code == 0


def test_the_same_bundle_gives_the_same_bytes(workspace: Workspace, tmp_path: Path) -> None:
    bundle = workspace.current("bundle")
    one, other = (write_tar(bundle, tmp_path / name).read_bytes() for name in ("one.tar", "other.tar"))
    assert one == other
    with tarfile.open(tmp_path / "one.tar") as archive:
        entries = archive.getmembers()
    assert [entry.name for entry in entries] == sorted(entry.name for entry in entries)
    assert {(entry.mtime, entry.uid, entry.gid, entry.uname, entry.mode) for entry in entries} == {
        (0, 0, 0, "", 0o644)
    }


def test_a_write_that_fails_leaves_the_former_file(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "bundle.tar"
    out.write_text("former")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(tarfile.TarFile, "add", full)
    with pytest.raises(OSError, match="No space"):
        write_tar(workspace.current("bundle"), out)
    assert out.read_text() == "former"
    assert [path.name for path in tmp_path.iterdir()] == ["bundle.tar"]


def test_a_folder_that_is_not_there_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is not there"):
        write_tar(workspace.current("bundle"), tmp_path / "nowhere" / "bundle.tar")
