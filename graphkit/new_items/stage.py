"""The ``new-items`` stage, beside the chain: embeddings of items that the graph network has not seen."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import polars as pl

from graphkit import schemas
from graphkit.artefacts import Batch, StageWork, Workspace
from graphkit.datasets.store import Dataset
from graphkit.graph.build import TEXT_CACHE
from graphkit.graph.store import SERVE, Relation, read_graph, undirected_relations
from graphkit.hgnn.embed_new import NewEmbeddings, embed_new
from graphkit.hgnn.extend_graph import NewEdges
from graphkit.new_items.features import text_features
from graphkit.new_items.nearest import nearest_catalogue_items
from graphkit.new_items.read import Known, NewItems, read_new_items
from graphkit.new_items.spec import Upstream, new_items_spec
from graphkit.progress import say
from graphkit.text import NO_MODEL, language_warning
from graphkit.training.model_file import MODEL_FILE
from graphkit.vectors import EMBEDDINGS_FILE, load_vectors, save_vectors

NEW_ITEMS_FILE: Final = "items.parquet"
_ENDS: Final = (schemas.NEIGHBOUR_TYPE, schemas.KIND, schemas.ITEM_TYPE)


def embed_new_items(workspace: Workspace, items: Path, edges: Path | None = None, strict: bool = False) -> Batch:
    """Embed items that are not in the catalogue by the current HGNN's weights, on the ``serve`` graph.

    ``items`` is a table with the canonical item columns; ``edges`` one with ``item_id``, ``item_type``,
    ``neighbour_id``, ``neighbour_type`` and, if there, ``kind`` (``co-listening``) and ``weight`` (1). Edges lead
    into new items alone, so the catalogue's embeddings stay what they are, and the new vectors are of the same
    space. The batch holds the items of this call, no earlier ones.

    Writes ``embeddings.safetensors`` (``<type>``, float32 [num_new, out_dim], unit length), ``items.parquet``
    (``item_id``, ``item_type``, ``row``, ``num_edges``, ``title``) and, where rows were refused,
    ``rejected.parquet``. Raises ArtefactError where dataset, graph and HGNN are missing or do not belong together,
    DataError for files that cannot be used; with ``strict`` for any row that cannot.
    """
    upstream = Upstream.of(workspace)
    spec = new_items_spec(upstream, items, edges, strict)
    if (done := workspace.finished(spec)) is not None:
        return done
    known = known_items(upstream)
    new = read_new_items(items, edges, known, strict)
    with workspace.begin(spec) as work:
        say(f"embedding {new.items.height:,} new items with {new.edges.height:,} edges")
        found = _embed(upstream, new, known.catalogue, workspace.root / TEXT_CACHE)
        _write(work, new, found)
        _describe(work, upstream, new, known.catalogue, found)
        return work.commit()


def known_items(upstream: Upstream) -> Known:
    """What the dataset and the graph know: types, catalogue, relations in both directions."""
    dataset = Dataset.open(upstream.dataset)
    undirected = undirected_relations(upstream.graph)
    relations = {way for relation in undirected for way in (relation, relation.reverse)}
    return Known(dataset.meta.types, dataset.items(), relations, upstream.config.text.model != NO_MODEL)


def _embed(upstream: Upstream, new: NewItems, catalogue: pl.DataFrame, cache: Path) -> NewEmbeddings:
    graph = read_graph(upstream.graph, SERVE)
    dim = next(iter(graph.features.values())).shape[1]
    text = text_features(new.items, upstream.graph, upstream.config, dim, cache)
    of_type = {t: (new.items[schemas.ITEM_TYPE] == t).to_numpy() for t in graph.features}
    features = {t: text[rows] for t, rows in of_type.items() if rows.any()}
    edges = _numbered(new, catalogue, graph.num_nodes)
    return embed_new(upstream.hgnn.path(MODEL_FILE), graph, features, edges, upstream.config)


def _numbered(new: NewItems, catalogue: pl.DataFrame, num_nodes: dict[str, int]) -> dict[Relation, NewEdges]:
    """The edges by relation, their ends as node numbers: new items come after the catalogue of their type."""
    first = pl.col(schemas.ITEM_TYPE).replace_strict(num_nodes, return_dtype=pl.Int64)
    number = pl.concat(
        [
            catalogue.select(schemas.ITEM_TYPE, schemas.ITEM_ID, pl.col(schemas.ITEM).cast(pl.Int64).alias("node")),
            new.items.select(schemas.ITEM_TYPE, schemas.ITEM_ID, (first + pl.col("row")).alias("node")),
        ]
    )
    rows = new.edges.join(number.rename({"node": "dst"}), on=[schemas.ITEM_TYPE, schemas.ITEM_ID]).join(
        number.rename({"node": "src"}),
        left_on=[schemas.NEIGHBOUR_TYPE, schemas.NEIGHBOUR_ID],
        right_on=[schemas.ITEM_TYPE, schemas.ITEM_ID],
    )
    return {
        Relation(*map(str, ends)): NewEdges(*(of_it[name].to_numpy() for name in ("src", "dst", schemas.WEIGHT)))
        for ends, of_it in rows.partition_by(_ENDS, as_dict=True).items()
    }


def _write(work: StageWork, new: NewItems, found: NewEmbeddings) -> None:
    save_vectors(work.path(EMBEDDINGS_FILE), found.vectors)
    key = [schemas.ITEM_TYPE, schemas.ITEM_ID]
    num_edges = new.edges.group_by(key).agg(pl.len().alias("num_edges"))
    table = new.items.join(num_edges, on=key, how="left", maintain_order="left").select(
        schemas.ITEM_ID, schemas.ITEM_TYPE, "row", pl.col("num_edges").fill_null(0), schemas.TITLE
    )
    table.write_parquet(work.path(NEW_ITEMS_FILE))
    rejected = new.rejects.table()
    if rejected.height:
        rejected.write_parquet(work.path(schemas.REJECTED_FILE))
    work.row_counts = {t: len(z) for t, z in found.vectors.items()} | {"rejected": rejected.height}


def _describe(
    work: StageWork, upstream: Upstream, new: NewItems, catalogue: pl.DataFrame, found: NewEmbeddings
) -> None:
    hgnn = upstream.hgnn.manifest
    work.space_id, work.snapshot_id, work.data_window = hgnn.space_id, hgnn.snapshot_id, hgnn.data_window
    work.device = found.device
    warning = language_warning(upstream.config.text.model, new.items[schemas.LANGUAGE].unique().to_list())
    if warning:
        say(f"warning: {warning}")
    every = load_vectors(upstream.hgnn.path(EMBEDDINGS_FILE))
    served = {t: every[f"{SERVE}/{t}"] for t in catalogue[schemas.ITEM_TYPE].unique(maintain_order=True)}
    work.metrics = {
        "edges": new.edges.height,
        "duplicate_edges": new.duplicate_edges,
        "rejected": new.rejects.counts(),
        "neighbours": found.neighbours,
        "text_warning": warning,
        "nearest": nearest_catalogue_items(new.items, found.vectors, catalogue, served),
    }
