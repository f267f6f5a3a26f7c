"""The command, and every way in which an export can fail: what was there stays, and the message says what to do."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from click.testing import Result

from graphkit.artefacts import Workspace
from graphkit.errors import ArtefactError, InputError
from graphkit.graph.store import SERVE
from graphkit.graph_formats import export
from graphkit.graph_formats.export import export_graph
from tests.graph_export_world import write_workspace


def test_the_command(graphkit: Callable[..., Result], tmp_path: Path) -> None:
    write_workspace(tmp_path / "ws")
    words = ("export-graph", "--format", "triples", "-o", tmp_path / "t.parquet", "-w", tmp_path / "ws")
    done = graphkit(*words, "--snapshot", "fit", "--json")
    assert done.exit_code == 0, done.output
    told = json.loads(done.output)
    assert (told["path"], told["snapshot"]) == (str(tmp_path / "t.parquet"), "fit")
    assert sum(told["num_edges"].values()) == pl.read_parquet(tmp_path / "t.parquet").height
    again = graphkit(*words)
    assert again.exit_code == 2
    assert "--force" in again.output
    forced = graphkit(*words, "--force")
    assert forced.exit_code == 0, forced.output
    assert "audiobook" not in forced.output
    assert "playlist:book-pod:cast" in forced.output
    assert graphkit("export-graph", "--format", "gexf", "-o", "x", "-w", tmp_path / "ws").exit_code == 2


def test_unknown_names_and_a_workspace_without_a_graph(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "ws")
    with pytest.raises(InputError, match=r"unknown format 'triple'\n.*did you mean 'triples'"):
        export_graph(workspace, tmp_path / "x", "triple")
    with pytest.raises(InputError, match=r"unknown snapshot 'srve'\n.*did you mean 'serve'"):
        export_graph(workspace, tmp_path / "x", "triples", "srve")
    with pytest.raises(ArtefactError, match=r"no graph yet(.|\n)*build-graph"):
        export_graph(workspace, tmp_path / "x", "triples")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_stays_unless_forced(tmp_path: Path) -> None:
    write_workspace(tmp_path / "ws")
    out = tmp_path / "graph"
    (tmp_path / "graph.nodes.parquet").write_text("mine")
    with pytest.raises(InputError, match=r"there already(.|\n)*graph.nodes.parquet"):
        export_graph(Workspace(tmp_path / "ws"), out, "pyg")
    assert not out.exists()
    export_graph(Workspace(tmp_path / "ws"), out, "pyg", force=True)
    assert pl.read_parquet(f"{out}.nodes.parquet").height == 12
    with pytest.raises(InputError, match="this is a folder"):
        export_graph(Workspace(tmp_path / "ws"), tmp_path, "pyg", force=True)


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    write_workspace(tmp_path / "ws")
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="cannot be written there"):
        export_graph(Workspace(tmp_path / "ws"), tmp_path / "file" / "graph", "triples")


@pytest.mark.parametrize("format", ["pyg", "triples"])
def test_an_export_that_dies_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    write_workspace(tmp_path / "ws")
    out = tmp_path / "out" / "graph"
    export_graph(Workspace(tmp_path / "ws"), out, format)
    before = {path.name: path.read_bytes() for path in out.parent.iterdir()}

    def dying(source, path):
        path.write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "_load_writer", lambda *_: dying)
    with pytest.raises(KeyboardInterrupt):
        export_graph(Workspace(tmp_path / "ws"), out, format, force=True)
    assert {path.name: path.read_bytes() for path in out.parent.iterdir()} == before


@pytest.mark.parametrize(
    ("format", "package"), [("pyg", "torch_geometric"), ("dgl", "dgl"), ("networkx", "networkx")]
)
def test_a_missing_package_is_named_with_the_cure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str, package: str
) -> None:
    for module in list(sys.modules):
        if module.split(".")[0] == package or module in (
            f"graphkit.graph_formats.{format}",
            "graphkit.hgnn.neighbours_dgl",
        ):
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.delattr(f"graphkit.graph_formats.{format}", raising=False)
    monkeypatch.delattr("graphkit.hgnn.neighbours_dgl", raising=False)
    monkeypatch.setitem(sys.modules, package, None)  # makes the import fail
    write_workspace(tmp_path / "ws")
    with pytest.raises(InputError, match=rf"needs a package(.|\n)*{package}(.|\n)*pip install {package}"):
        export_graph(Workspace(tmp_path / "ws"), tmp_path / "graph", format)


@pytest.mark.parametrize("format", ["networkx", "graphml"])
def test_a_large_graph_is_refused_where_only_small_ones_fit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format: str
) -> None:
    from graphkit.graph_formats import networkx

    directed = write_workspace(tmp_path / "ws")[SERVE]
    edges = len({frozenset(((e.relation.src, e.src), (e.relation.dst, e.dst), e.relation.kind)) for e in directed})
    monkeypatch.setattr(networkx, "MAX_EDGES", edges - 1)
    with pytest.raises(InputError, match=rf"too large(.|\n)*at most {edges - 1}(.|\n)*{edges}\n(.|\n)*triples"):
        export_graph(Workspace(tmp_path / "ws"), tmp_path / "graph", format)
    monkeypatch.setattr(networkx, "MAX_EDGES", edges)
    export_graph(Workspace(tmp_path / "ws"), tmp_path / "graph", format)


def test_a_graph_whose_dataset_is_gone_or_another_is_refused(tmp_path: Path) -> None:
    write_workspace(tmp_path / "ws")
    workspace = Workspace(tmp_path / "ws")
    folder = workspace.current("dataset").folder
    os.rename(folder, tmp_path / "away")
    with pytest.raises(ArtefactError, match="no longer there"):
        export_graph(workspace, tmp_path / "graph", "triples")
