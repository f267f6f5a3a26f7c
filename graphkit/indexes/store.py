"""Making an index for a stated recall, and opening it: what ``bundle.json`` says about it is an IndexMeta."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from graphkit.bundle_format import IndexMeta
from graphkit.config.sections import IndexKind
from graphkit.errors import ArtefactError
from graphkit.indexes.base import Floats, SearchGraph
from graphkit.indexes.item_index import ItemIndex
from graphkit.indexes.lengths import as_directions, greatest_length
from graphkit.indexes.tune import Asked, halves, least_effort

#: Vectors of an index that are held against the item vectors on opening.
_PROBES: Final = 32


def make_index(
    folder: Path, name: str, kind: IndexKind, vectors: Floats, queries: Floats, recall: float, trees: int, seed: int
) -> IndexMeta:
    """Write ``index/<name>`` to ``folder`` and tune it on every other one of ``queries`` [q, dim]; its description.

    The recall that it states is that of the other half. ``exact`` writes nothing: the vectors are all it needs.
    """
    num_items, dim = vectors.shape
    library = library_of(kind)
    if library is None or num_items == 0:
        return IndexMeta(kind="exact", dim=dim, num_items=num_items)
    longest, file = greatest_length(vectors), f"index/{name}{library.suffix}"
    directions = as_directions(vectors, longest)
    (folder / file).parent.mkdir(parents=True, exist_ok=True)
    library.build(folder / file, directions, seed, trees=trees)
    graph = library.open(folder / file, directions.shape[1])
    tuned_on, stated_for = halves(queries)
    effort = least_effort(
        lambda effort: ItemIndex(vectors, graph, effort, longest), Asked.of(vectors, tuned_on), recall
    )
    stated = Asked.of(vectors, stated_for).recall(ItemIndex(vectors, graph, effort, longest))
    return IndexMeta(
        kind=kind,
        file=file,
        dim=dim,
        num_items=num_items,
        longest=longest,
        effort=effort,
        recall=round(stated, 4),
    )


def open_index(folder: Path, about: IndexMeta, vectors: Floats) -> ItemIndex:
    """The index that ``about`` describes, over its item vectors; raises ArtefactError where they do not fit."""
    library = library_of(about.kind)
    if library is None or about.file is None:
        _require_same(folder, about, f"vectors {vectors.shape}", vectors.shape == (about.num_items, about.dim))
        return ItemIndex(vectors)
    path = folder / about.file
    if not path.is_file():
        raise ArtefactError("the index is not there", where=str(path), fix="run `graphkit export` again")
    graph = library.open(path, about.dim + (about.longest is not None))
    sizes = f"{len(graph)} in the index, vectors {vectors.shape}"
    _require_same(path, about, sizes, vectors.shape == (len(graph), about.dim) and len(graph) == about.num_items)
    probes = np.unique(np.linspace(0, len(vectors) - 1, _PROBES).astype(np.int64))
    differs = graph.difference(probes, lambda items: as_directions(vectors[items], about.longest))
    _require_same(path, about, f"vectors that differ by {differs:.2g}", differs <= graph.tolerance)  # not by NaN
    return ItemIndex(vectors, graph, about.effort, about.longest)


def library_of(kind: IndexKind) -> type[SearchGraph] | None:
    """What builds and searches a kind of index; None for ``exact``. The library is loaded only here."""
    if kind == "annoy":
        from graphkit.indexes.annoy import AnnoyForest

        return AnnoyForest
    if kind == "voyager":
        from graphkit.indexes.voyager import VoyagerGraph

        return VoyagerGraph
    if kind == "faiss":
        from graphkit.indexes.faiss import FaissLists

        return FaissLists
    return None


def _require_same(path: Path, about: IndexMeta, found: str, fits: bool) -> None:
    if not fits:
        raise ArtefactError(
            "the index does not belong to the item vectors",
            where=str(path),
            expected=f"{about.num_items} items of dimension {about.dim}",
            found=found,
            fix="run `graphkit export` again",
        )
