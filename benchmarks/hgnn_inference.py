"""Exact inference of a large catalogue on two cores: time and peak memory, against one plain pass in torch.

python benchmarks/hgnn_inference.py --items 250000

The graph is generated: three item types, every relation between them, sources by popularity, in-degrees of a power
law capped at ``top_k`` (``power``), or ``top_k`` draws for every node (``full``). Text vectors are given, and the
default model's weights random. The plain pass gathers a message per edge and reduces them, relation by relation, with
the same weights; the two outputs must agree. Each contender is a process of its own; its peak holds the graph and the
vectors.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from graph_build import measure
from record import record

SEED, TOP_K, FEATURE_DIM = 0, 100, 384
SHARES = {"track": 0.5, "podcast": 0.4, "audiobook": 0.1}
#: In-degrees of ``power``: Pareto with this minimum and exponent.
MIN_DEGREE, EXPONENT = 8, 1.3
ALIKE = 1e-4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=250_000)
    parser.add_argument("--degrees", nargs="+", choices=["power", "full"], default=["power", "full"])
    parser.add_argument("--memory-gib", type=float, default=20, help="a contender above this is stopped")
    parser.add_argument("--contender", nargs=2, metavar=("NAME", "FOLDER"), help=argparse.SUPPRESS)
    parser.add_argument("--make", nargs=2, metavar=("DEGREES", "FOLDER"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        print(json.dumps(contend(options.contender[0], Path(options.contender[1]))))
    elif options.make:
        print(json.dumps(make(options.items, options.make[0], Path(options.make[1]))))
    else:
        compare(options)


def compare(options: argparse.Namespace) -> None:
    """Both contenders on each graph."""
    from hgnn_common import use_two_cores

    use_two_cores()
    rows = []
    for degrees in options.degrees:
        with tempfile.TemporaryDirectory() as folder:
            words = [sys.executable, __file__, "--items", str(options.items)]
            made = measure([*words, "--make", degrees, folder])
            if made.failed:
                raise SystemExit(f"making the graph: {made.failed}")
            sums = {}
            for name in CONTENDERS:
                cost = measure([*words, "--contender", name, folder], options.memory_gib)
                row: dict[str, Any] = {"items": options.items, "degrees": degrees, "edges": made.said["edges"]}
                row |= {"contender": name, "seconds": "-", "peak_mib": cost.peak_mib, "input_mib": "-"}
                if not cost.failed:
                    sums[name] = cost.said.pop("sums")
                rows.append(row | (cost.said or {}) | {"failed": cost.failed or "-"})
            agree(sums)
    record("hgnn_inference", rows, top_k=TOP_K, feature_dim=FEATURE_DIM)


def agree(sums: dict[str, dict[str, float]]) -> None:
    """The contenders' outputs are the same ones."""
    first, *others = sums.values()
    for other in others:
        if any(abs(other[t] / first[t] - 1) > ALIKE for t in first):
            raise SystemExit(f"the contenders disagree: {sums}")


# --- the graph -----------------------------------------------------------------------------------------------


def make(num_items: int, degrees: str, folder: Path) -> dict[str, int]:
    """Write a graph's arrays to ``folder``; how many directed edges it has."""
    rng = np.random.default_rng(SEED)
    sizes = {t: max(1, round(share * num_items)) for t, share in SHARES.items()}
    popular = {t: rng.permutation(n) for t, n in sizes.items()}  # nodes by rank, so that ids tell nothing
    edges = 0
    for src, dst in product(sizes, sizes):
        degree = in_degrees(degrees, sizes[dst], sizes[src], rng)
        indptr, indices = in_edges(degree, popular[src], rng)
        np.save(folder / f"{src}.{dst}.indptr.npy", indptr)
        np.save(folder / f"{src}.{dst}.indices.npy", indices)
        edges += len(indices)
    for item_type, n in sizes.items():
        vectors = rng.standard_normal((n, FEATURE_DIM), dtype=np.float32)
        np.save(folder / f"{item_type}.npy", vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return {"edges": edges}


def in_degrees(kind: str, num_dst: int, num_src: int, rng: np.random.Generator) -> np.ndarray:
    most = min(TOP_K, num_src)
    if kind == "full":
        return np.full(num_dst, most)
    pareto = MIN_DEGREE * rng.random(num_dst) ** (-1 / EXPONENT)
    return np.minimum(pareto, most).astype(np.int64)


def in_edges(degree: np.ndarray, popular: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """``indptr`` and ascending ``indices``: draws by popularity, of which repeats fall out."""
    dst = np.repeat(np.arange(len(degree)), degree)
    src = popular[(len(popular) * rng.random(len(dst)) ** 2).astype(np.int64)]
    key = np.unique(dst * len(popular) + src)
    indptr = np.concatenate([[0], np.cumsum(np.bincount(key // len(popular), minlength=len(degree)))])
    return indptr.astype(np.int64), (key % len(popular)).astype(np.int32)


def read(folder: Path) -> Any:
    """The graph as tensors."""
    import torch

    from graphkit.graph.store import CO_LISTENING, CoListeningGraph, Csc, Relation
    from graphkit.hgnn.graph_tensors import to_tensors

    features = {t: np.load(folder / f"{t}.npy") for t in SHARES}
    relations = {}
    for src, dst in product(SHARES, SHARES):
        indptr, indices = (np.load(folder / f"{src}.{dst}.{name}.npy") for name in ("indptr", "indices"))
        relations[Relation(src, CO_LISTENING, dst)] = Csc(indptr, indices, np.ones(len(indices), np.float32))
    graph = CoListeningGraph({t: len(rows) for t, rows in features.items()}, relations, features)
    return to_tensors(graph, torch.device("cpu"))


# --- the contenders ------------------------------------------------------------------------------------------


def contend(name: str, folder: Path) -> dict[str, Any]:
    """Embed the graph in ``folder`` with random weights of the default model."""
    import torch
    from hgnn_common import back_end

    from graphkit.config import load_config
    from graphkit.hgnn.fit import model_shape
    from graphkit.hgnn.model import HeteroSage

    settings = load_config("default").hgnn
    pooling, graph = back_end(settings), read(folder)
    model = HeteroSage(model_shape(graph, settings), torch.Generator().manual_seed(SEED))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    started = time.perf_counter()
    found = CONTENDERS[name](model, graph, pooling)
    seconds = time.perf_counter() - started
    sums = {t: float(z.double().abs().sum()) for t, z in found.items()}
    return {"seconds": round(seconds, 1), "input_mib": before, "sums": sums}


def by_graphkit(model: Any, graph: Any, pooling: Any) -> Any:
    """Layer by layer, in blocks of nodes, by the back end's fused maximum."""
    from graphkit.hgnn.infer import embed_graph

    return embed_graph(model, graph, pooling)


def by_one_pass(model: Any, graph: Any, pooling: Any) -> Any:
    """All nodes at once: a message per edge, reduced by torch's own scatter."""
    from graphkit.hgnn.infer import embed_graph

    plain = pooling._replace(maximum=plain_maximum, weighted_sum=plain_sum)
    return embed_graph(model, graph, plain, block_nodes=sum(graph.num_nodes.values()))


def plain_maximum(messages: Any, edges: Any) -> Any:
    gathered = messages[edges.indices.long()]  # [num_edges, dim]
    to = edges.destinations()[:, None].expand_as(gathered)
    return messages.new_zeros(edges.num_dst, messages.shape[1]).scatter_reduce(0, to, gathered, "amax")


def plain_sum(messages: Any, edges: Any, weight: Any) -> Any:
    gathered = messages[edges.indices.long()] * weight[:, None]  # [num_edges, dim]
    return messages.new_zeros(edges.num_dst, messages.shape[1]).index_add(0, edges.destinations(), gathered)


CONTENDERS = {"graphkit": by_graphkit, "one pass in torch": by_one_pass}


if __name__ == "__main__":
    main()
