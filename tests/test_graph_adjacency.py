"""Each item's heaviest neighbours, against a sort by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from tiny_towers import TYPES, make_dataset, make_graph

from graphkit.artefacts import Workspace
from graphkit.graph.adjacency import co_listening_neighbours, heaviest
from graphkit.graph.store import CO_LISTENING, SERVE, Csc, Relation, read_relation

#: Node 0 has four in-edges, node 1 none, node 2 two.
EDGES = Csc(np.array([0, 4, 4, 6]), np.array([0, 2, 5, 7, 1, 3], np.int32), np.array([1, 4, 2, 3, 1, 9], np.float32))


def test_the_heaviest_come_first_and_the_rest_goes() -> None:
    kept = heaviest(EDGES, 3, seed=0)
    assert kept.indptr.tolist() == [0, 3, 3, 5]
    assert kept.indices.tolist() == [2, 7, 5, 3, 1]
    assert kept.weight.tolist() == [4, 3, 2, 9, 1]
    assert (kept.indptr.dtype, kept.indices.dtype, kept.weight.dtype) == (np.int64, np.int32, np.float32)


def test_ties_are_broken_by_seed_and_never_by_row() -> None:
    equal = Csc(np.array([0, 40]), np.arange(40, dtype=np.int32), np.ones(40, np.float32))
    kept = [heaviest(equal, 5, seed).indices.tolist() for seed in range(3)]
    assert kept[0] == heaviest(equal, 5, 0).indices.tolist()
    assert len({tuple(found) for found in kept}) == 3
    assert all(found != [0, 1, 2, 3, 4] for found in kept)


def test_every_pair_of_types_that_the_graph_joins_by_co_listening(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    graph = make_graph(workspace, make_dataset(workspace, 0), 0)
    found = co_listening_neighbours(graph, SERVE, 4, seed=0)
    joined = {("audiobook", "audiobook"), ("audiobook", "podcast"), ("podcast", "podcast"), ("podcast", "track")}
    assert found.keys() == joined | {(b, a) for a, b in joined}
    for (item_type, neighbours), csr in found.items():
        assert len(csr.indptr) == TYPES[item_type] + 1
        every = read_relation(graph, SERVE, Relation(neighbours, CO_LISTENING, item_type))
        for item in range(TYPES[item_type]):
            near = slice(*csr.indptr[item : item + 2])
            edges = slice(*every.indptr[item : item + 2])
            weight = dict(zip(every.indices[edges].tolist(), every.weight[edges].tolist(), strict=True))
            assert csr.weight[near].tolist() == sorted(weight.values(), reverse=True)[:4]
            assert csr.weight[near].tolist() == [weight[neighbour] for neighbour in csr.indices[near].tolist()]
