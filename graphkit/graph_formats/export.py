"""Write the current graph in another tool's format."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from graphkit.artefacts import Workspace
from graphkit.artefacts.disk import fsync
from graphkit.errors import InputError, did_you_mean
from graphkit.graph.store import SERVE, SNAPSHOTS
from graphkit.graph_formats.source import GraphSource, node_table, open_source

T = TypeVar("T")


class Format(NamedTuple):
    """``writer`` is a function of a module here; ``numbered`` formats know a node by its number alone."""

    writer: str
    numbered: bool
    install: str  # what gives the packages it needs


FORMATS: Final = {
    "dgl": Format("dgl:write", True, "pip install dgl==1.1.3 (Python 3.11) or dgl==2.1.0 (3.12), on Linux x86-64"),
    "pyg": Format("pyg:write", True, "pip install torch_geometric (graphkit's extra `pyg`)"),
    "networkx": Format("networkx:write_json", False, "pip install networkx"),
    "graphml": Format("networkx:write_graphml", False, "pip install networkx"),
    "triples": Format("triples:write", False, "pip install pyarrow"),
}


@dataclass(frozen=True)
class GraphExport:
    """What was written. ``node_table`` tells the ids and titles where a format knows nodes by number."""

    path: Path
    node_table: Path | None
    format: str
    snapshot: str
    num_nodes: dict[str, int]  # by type
    num_edges: dict[str, int]  # by directed relation


def export_graph(
    workspace: Workspace, out: Path, format: str, snapshot: str = SERVE, *, force: bool = False
) -> GraphExport:
    """Write a snapshot of the current graph to the file ``out``, in one of ``FORMATS``, whole or not at all.

    Formats that number their nodes get a Parquet table beside them with each node's id and title, named as
    ``out`` and ``.nodes.parquet``. Raises InputError for an unknown format or snapshot, a missing
    package, a file that is there already (unless ``force``) and a graph too large for the format;
    ArtefactError where there is no graph yet.
    """
    chosen = _known("format", format, FORMATS)
    _known("snapshot", snapshot, {name: name for name in SNAPSHOTS})
    table = out.with_name(f"{out.name}.nodes.parquet") if chosen.numbered else None
    for path in filter(None, (out, table)):
        _check_free(path, force)
    write = _load_writer(format, chosen)
    source = open_source(workspace, snapshot)
    with _replacing(out) as (new, new_table):
        counts = write(source, new)
        if table is not None:
            node_table(source).write_parquet(new_table, metadata=source.origin)
            fsync(new_table)
            new_table.replace(table)
        fsync(new)
        new.replace(out)
    fsync(out.parent)
    return GraphExport(out, table, format, snapshot, source.num_nodes, counts)


@contextmanager
def _replacing(out: Path) -> Iterator[tuple[Path, Path]]:
    """Two paths to write to, on the same disk as ``out``, gone afterwards."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    except OSError as error:
        raise InputError(
            "the file cannot be written there", where=str(out), found=error.strerror, fix="name one in another folder"
        ) from error
    try:
        yield folder / out.name, folder / "nodes.parquet"  # some writers compress by the name's ending
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _known(what: str, name: str, known: dict[str, T]) -> T:
    if name not in known:
        raise InputError(f"unknown {what} {name!r}", expected=did_you_mean(name, known))
    return known[name]


def _check_free(path: Path, force: bool) -> None:
    if path.is_dir():
        raise InputError(
            "the graph is written to a file, and this is a folder", where=str(path), fix="name a file in it"
        )
    if path.exists() and not force:
        raise InputError(
            "the file is there already",
            where=str(path),
            fix="name another one, or replace it with --force (force=True)",
        )


def _load_writer(name: str, chosen: Format) -> Callable[[GraphSource, Path], dict[str, int]]:
    module, _, function = chosen.writer.partition(":")
    try:
        writer: Callable[[GraphSource, Path], dict[str, int]] = getattr(
            import_module(f"graphkit.graph_formats.{module}"), function
        )
    except Exception as error:  # a binary package can fail to load in any way
        raise InputError(
            f"the format {name!r} needs a package that cannot be imported here",
            found=str(error).splitlines()[0] if str(error) else type(error).__name__,
            fix=chosen.install,
        ) from error
    return writer
