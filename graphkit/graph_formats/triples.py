"""Triples: a Parquet table ``lhs``, ``rel``, ``rhs``, ``weight``, one row a directed edge, of any size."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from graphkit.graph.store import Relation, edge_table, undirected_relations
from graphkit.graph_formats.source import GraphSource
from graphkit.progress import track

#: Undirected edges in memory at a time.
ROWS_AT_ONCE: Final = 500_000


def write(source: GraphSource, path: Path) -> dict[str, int]:
    """``lhs`` and ``rhs`` are ``type:id``; ``rel`` is the relation's name, as ``audiobook-podcast``.

    An edge that is there in both directions is two rows. Returns the edges per directed relation.
    """
    names = {t: source.names(t).to_arrow() for t in source.num_nodes}
    fields = [("lhs", pa.string()), ("rel", pa.string()), ("rhs", pa.string()), ("weight", pa.float32())]
    schema = pa.schema(fields, metadata=source.origin)
    relations = undirected_relations(source.batch)
    counts = {way.name: 0 for relation in relations for way in (relation, relation.reverse)}
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for relation in track(relations, "writing triples", len(relations)):
            for way, rows in _directed(source, relation):
                lhs, rhs = pc.take(names[way.src], rows["lhs"]), pc.take(names[way.dst], rows["rhs"])
                rel = pa.repeat(way.name, len(rows))
                columns = [lhs.cast(pa.string()), rel, rhs.cast(pa.string()), rows["weight"]]
                writer.write_batch(pa.record_batch(columns, schema=schema))
                counts[way.name] += len(rows)
    return counts


def _directed(source: GraphSource, relation: Relation) -> Iterator[tuple[Relation, Any]]:
    """The edge table of a relation in batches, each once a direction: ``lhs``, ``rhs`` (node numbers), ``weight``."""
    file = pq.ParquetFile(source.batch.path(edge_table(source.snapshot, relation)))
    for rows in file.iter_batches(ROWS_AT_ONCE):
        for way, there, ends in (
            (relation, "at_dst", ("src", "dst")),
            (relation.reverse, "at_src", ("dst", "src")),
        ):
            kept = rows.filter(rows[there]).select([*ends, "weight"])
            yield way, kept.rename_columns(["lhs", "rhs", "weight"])
