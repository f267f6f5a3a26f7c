"""Little graphs for the HGNN's tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from graphkit.artefacts import Batch, StageSpec, Workspace
from graphkit.config import Config
from graphkit.graph.store import (
    CO_LISTENING,
    FIT,
    LISTENING,
    PLAYLIST,
    SERVE,
    CoListeningGraph,
    Csc,
    Relation,
    save_about,
    save_csc,
)
from graphkit.hgnn.graph_tensors import GraphTensors, to_tensors
from graphkit.hgnn.links import Links

CPU = torch.device("cpu")
#: Undirected edges; a pair of types alone stands for co-listening.
Pairs = Mapping[tuple[str, ...], Sequence[tuple[int, int]]]


def co(src: str, dst: str) -> Relation:
    return Relation(src, CO_LISTENING, dst)


def as_relation(key: tuple[str, ...]) -> Relation:
    return Relation(*key) if len(key) == 3 else co(*key)


def csc(pairs: Sequence[tuple[int, int]], num_dst: int) -> Csc:
    """In-edges of (source, destination) pairs."""
    ordered = sorted(set(pairs), key=lambda pair: (pair[1], pair[0]))
    degree = np.bincount([dst for _, dst in ordered], minlength=num_dst)
    indptr = np.concatenate([[0], np.cumsum(degree)]).astype(np.int64)
    indices = np.array([src for src, _ in ordered], dtype=np.int32)
    return Csc(indptr, indices, np.ones(len(ordered), dtype=np.float32))


def both_directions(links: Pairs, num_nodes: Mapping[str, int]) -> dict[Relation, Csc]:
    """Directed relations of undirected ones."""
    directed: dict[Relation, list[tuple[int, int]]] = {}
    for key, pairs in links.items():
        relation = as_relation(key)
        directed.setdefault(relation, []).extend(pairs)
        directed.setdefault(relation.reverse, []).extend((dst, src) for src, dst in pairs)
    return one_way(directed, num_nodes)


def one_way(
    directed: Mapping[Relation, Sequence[tuple[int, int]]], num_nodes: Mapping[str, int]
) -> dict[Relation, Csc]:
    """Directed relations as they stand."""
    return {relation: csc(pairs, num_nodes[relation.dst]) for relation, pairs in directed.items()}


def graph_of(links: Pairs, features: Mapping[str, np.ndarray]) -> GraphTensors:
    """Tensors of a graph given by its undirected edges and text vectors."""
    num_nodes = {t: len(vectors) for t, vectors in features.items()}
    relations = both_directions(links, num_nodes)
    vectors = {t: np.asarray(v, dtype=np.float32) for t, v in features.items()}
    return to_tensors(CoListeningGraph(num_nodes, relations, vectors), CPU)


def random_links(
    rng: np.random.Generator, num_nodes: Mapping[str, int], num_links: Mapping[tuple[str, str], int]
) -> dict[tuple[str, str], list[tuple[int, int]]]:
    """Random undirected edges without self-loops."""
    links = {}
    for (a, b), count in num_links.items():
        src, dst = rng.integers(num_nodes[a], size=count), rng.integers(num_nodes[b], size=count)
        pairs = list(zip(src.tolist(), dst.tolist(), strict=True))
        links[a, b] = [(min(p), max(p)) for p in pairs if p[0] != p[1]] if a == b else pairs
    return links


def random_graph(seed: int = 0, dim: int = 6, density: int = 4) -> GraphTensors:
    """Audiobooks (the last three without edges), podcasts and a dense podcast-podcast relation."""
    rng = np.random.default_rng(seed)
    linked = {"audiobook": 17, "podcast": 30}
    wanted = {
        ("audiobook", "audiobook"): 5 * density,
        ("audiobook", "podcast"): 15 * density,
        ("podcast", "podcast"): 40 * density,
    }
    links = random_links(rng, linked, wanted)
    sizes = {"audiobook": 20, "podcast": 30}
    return graph_of(links, {t: rng.standard_normal((n, dim)) for t, n in sizes.items()})


def tangled_graph(seed: int = 0, dim: int = 6) -> GraphTensors:
    """Audiobooks, podcasts and users (who have no text): several kinds of edges between the same nodes, each
    edge in one direction or in both."""
    rng = np.random.default_rng(seed)
    sizes = {"audiobook": 8, "podcast": 12, "user": 6}
    links = random_links(rng, sizes, {("audiobook", "audiobook"): 12, ("audiobook", "podcast"): 30})
    links |= random_links(rng, sizes, {("podcast", "podcast"): 30})
    undirected: dict[Relation, list[tuple[int, int]]] = {co(*ends): pairs for ends, pairs in links.items()}
    for a, b in links:
        also = [pair for pair in links[a, b] if rng.random() < 0.5]
        undirected[Relation(a, PLAYLIST, b)] = also + random_links(rng, sizes, {(a, b): 8})[a, b]
    for item_type in ("audiobook", "podcast"):
        listened = random_links(rng, sizes, {("user", item_type): 20})["user", item_type]
        undirected[Relation("user", LISTENING, item_type)] = listened
    directed: dict[Relation, list[tuple[int, int]]] = {}
    for relation, pairs in undirected.items():
        way = rng.integers(3, size=len(pairs))  # forward, backward, both
        directed.setdefault(relation, []).extend(p for p, w in zip(pairs, way, strict=True) if w != 1)
        directed.setdefault(relation.reverse, []).extend(p[::-1] for p, w in zip(pairs, way, strict=True) if w != 0)
    text = {t: rng.standard_normal((sizes[t], dim)).astype(np.float32) for t in ("audiobook", "podcast")}
    return to_tensors(CoListeningGraph(sizes, one_way(directed, sizes), text), CPU)


def pairs_of(links: Links) -> list[tuple[int, int]]:
    return list(zip(links.src.tolist(), links.dst.tolist(), strict=True))


def edge_set(graph: GraphTensors, relation: Relation) -> set[tuple[int, int]]:
    """(source, destination) of every edge of a directed relation."""
    edges = graph.relations[relation]
    return set(zip(edges.indices.tolist(), edges.destinations().tolist(), strict=True))


def joined_nodes(graph: GraphTensors, relation: Relation) -> set[frozenset[tuple[str, int]]]:
    """The pairs of nodes, as (type, id), that an edge of a directed relation joins."""
    return {frozenset(((relation.src, s), (relation.dst, d))) for s, d in edge_set(graph, relation)}


def planted_links(rng: np.random.Generator, topic: Mapping[str, np.ndarray], per_node: int) -> Pairs:
    """Edges between items of the same topic only."""
    links: dict[tuple[str, str], list[tuple[int, int]]] = {}
    types = list(topic)
    for i, a in enumerate(types):
        for b in types[i:]:
            pairs = []
            for node, its_topic in enumerate(topic[a]):
                others = rng.choice(np.flatnonzero(topic[b] == its_topic), size=per_node)
                pairs += [(node, int(other)) for other in others if a != b or other != node]
            links[a, b] = [(min(p), max(p)) for p in pairs] if a == b else pairs
    return links


def write_graph_batch(root: Path, config: Config, seed: int = 0) -> Batch:
    """A workspace's graph batch: two types, four topics that show faintly in the text; five lonely items a type."""
    rng = np.random.default_rng(seed)
    num_topics, sizes, linked = 4, {"audiobook": 45, "podcast": 65}, {"audiobook": 40, "podcast": 60}
    centre = rng.standard_normal((num_topics, 8))
    topic = {t: rng.integers(num_topics, size=n) for t, n in sizes.items()}
    features = {t: (centre[topic[t]] + rng.standard_normal((n, 8))).astype(np.float32) for t, n in sizes.items()}
    connected = {t: topic[t][: linked[t]] for t in sizes}
    fit = both_directions(planted_links(rng, connected, 3), sizes)
    serve = both_directions(planted_links(rng, connected, 4), sizes)
    return commit_graph(root, config, sizes, {FIT: fit, SERVE: serve}, features)


def commit_graph(
    root: Path,
    config: Config,
    num_nodes: dict[str, int],
    snapshots: Mapping[str, Mapping[Relation, Csc]],
    features: dict[str, np.ndarray],
) -> Batch:
    """A graph batch of directed relations, as the builder would write it (less the tables for people)."""
    with Workspace(root).begin(StageSpec.of("graph", config, [])) as work:
        for snapshot, relations in snapshots.items():
            for relation, edges in relations.items():
                save_csc(work.folder, snapshot, relation, edges)
        undirected = [r for i, r in enumerate(relations) if r.reverse not in list(relations)[:i]]
        save_about(work.folder, num_nodes, undirected, features, {})
        return work.commit()
