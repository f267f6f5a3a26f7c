"""Little graphs for the HGNN's tests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from graphkit.artefacts import Batch, StageSpec, Workspace
from graphkit.config import Config
from graphkit.graph.store import FIT, SERVE, CoListeningGraph, Csc, Relation, save_graph
from graphkit.hgnn.graph_tensors import GraphTensors, to_tensors

CPU = torch.device("cpu")
Pairs = Mapping[Relation, Sequence[tuple[int, int]]]


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
    for (a, b), pairs in links.items():
        directed.setdefault((a, b), []).extend(pairs)
        directed.setdefault((b, a), []).extend((dst, src) for src, dst in pairs)
    return {relation: csc(pairs, num_nodes[relation[1]]) for relation, pairs in directed.items()}


def graph_of(links: Pairs, features: Mapping[str, np.ndarray]) -> GraphTensors:
    """Tensors of a graph given by its undirected edges and text vectors."""
    num_nodes = {t: len(vectors) for t, vectors in features.items()}
    relations = both_directions(links, num_nodes)
    vectors = {t: np.asarray(v, dtype=np.float32) for t, v in features.items()}
    return to_tensors(CoListeningGraph(num_nodes, relations, vectors), CPU)


def random_links(
    rng: np.random.Generator, num_nodes: Mapping[str, int], num_links: Mapping[Relation, int]
) -> dict[Relation, list[tuple[int, int]]]:
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


def planted_links(rng: np.random.Generator, topic: Mapping[str, np.ndarray], per_node: int) -> Pairs:
    """Edges between items of the same topic only."""
    links: dict[Relation, list[tuple[int, int]]] = {}
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
    workspace = Workspace(root)
    with workspace.begin(StageSpec.of("graph", config, [])) as work:
        save_graph(work.folder, sizes, {FIT: fit, SERVE: serve}, features, {})
        return work.commit()
