"""Recall against latency of every kind of index, with its build, file and memory.

python benchmarks/index.py --texts-of WORKSPACE --items 250000
python benchmarks/index.py --towers-of WORKSPACE --type podcast

Vectors: text vectors resampled (``resampled.py``; queries lie between two items), or the item and user vectors of a
workspace's towers. Each kind is built and asked in processes of its own, one query at a time on one core; a query is
``ItemIndex.nearest`` for 100 items, dot products included. Memory is what a process holds more at the peak of the
build, and after all queries, than with the vectors read; mapped pages count.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from record import record
from resampled import between_two, resampled

from graphkit.artefacts import Workspace
from graphkit.indexes.item_index import ItemIndex
from graphkit.indexes.lengths import as_directions, greatest_length
from graphkit.indexes.store import library_of
from graphkit.indexes.tune import Asked
from graphkit.vectors import load_vectors

EFFORTS: dict[str, tuple[int, ...]] = {
    "exact": (0,),
    "annoy": (2500, 5000, 10_000, 20_000, 40_000, 80_000),
    "voyager": (100, 200, 400, 800, 1600),
    "faiss": (200, 400, 600, 800, 1200),
}
WARM_UP = 20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--texts-of", type=Path)
    source.add_argument("--towers-of", type=Path)
    parser.add_argument("--type", default="podcast")
    parser.add_argument("--items", type=int, default=250_000)
    parser.add_argument("--queries", type=int, default=300)
    parser.add_argument("--kinds", nargs="+", choices=EFFORTS, default=tuple(EFFORTS))
    parser.add_argument("--trees", type=int, default=50)
    parser.add_argument("--step", nargs=2, help=argparse.SUPPRESS)  # kind and folder, in a process of its own
    options = parser.parse_args()
    if options.step:
        kind, folder = options.step[0], Path(options.step[1])
        step = ask if (folder / f"{kind}.built").exists() else build
        print(json.dumps(step(kind, folder, options.trees)))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        vectors, queries = read(options)
        np.save(folder / "vectors.npy", vectors)
        np.save(folder / "queries.npy", queries)
        rows = [row for kind in options.kinds for row in measured(kind, folder)]
    vectors_of = options.texts_of or options.towers_of
    about = {"items": len(vectors), "dim": vectors.shape[1], "queries": len(queries), "trees": options.trees}
    record("index", rows, workspace=vectors_of.name, vectors="texts" if options.texts_of else "towers", **about)


def read(options: argparse.Namespace) -> tuple[np.ndarray, np.ndarray]:
    """Item vectors and queries."""
    if options.texts_of:
        vectors, _ = resampled(options.texts_of, options.items)
        return vectors, between_two(vectors, options.queries + WARM_UP)
    towers = Workspace(options.towers_of).current("towers")
    users = load_vectors(towers.path("user_vectors.safetensors"))["user"]
    chosen = np.random.default_rng(0).permutation(len(users))[: options.queries + WARM_UP]
    return load_vectors(towers.path("item_vectors.safetensors"))[options.type], users[chosen]


def measured(kind: str, folder: Path) -> list[dict[str, Any]]:
    """Build, then ask, each in a process of its own."""
    words = [sys.executable, __file__, *sys.argv[1:], "--step", kind, str(folder)]
    built, asked = (json.loads(subprocess.run(words, check=True, capture_output=True).stdout) for _ in range(2))
    return [{"kind": kind} | row | built | {"ask_mib": asked["ask_mib"]} for row in asked["rows"]]


def build(kind: str, folder: Path, trees: int) -> dict[str, Any]:
    """Seconds, size and memory of building."""
    vectors, library = np.load(folder / "vectors.npy"), library_of(kind)
    held, started = peak_mib(), time.perf_counter()
    if library is not None:
        directions = as_directions(vectors, greatest_length(vectors))
        library.build(folder / kind, directions, 0, trees=trees)
    seconds = time.perf_counter() - started if library else 0.0
    (folder / f"{kind}.built").touch()
    size = (folder / kind).stat().st_size if library else 0
    return {"build_s": round(seconds, 1), "file_mib": round(size / 2**20), "build_mib": round(peak_mib() - held)}


def ask(kind: str, folder: Path, trees: int) -> dict[str, Any]:
    """Recall and milliseconds at every effort."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])
    vectors, queries = np.load(folder / "vectors.npy"), np.load(folder / "queries.npy")
    asked, library, longest = Asked.of(vectors, queries[WARM_UP:]), library_of(kind), greatest_length(vectors)
    held = held_mib()
    graph = library.open(folder / kind, vectors.shape[1] + (longest is not None)) if library else None
    rows = []
    for effort in EFFORTS[kind]:
        index, seconds = ItemIndex(vectors, graph, effort, longest), []
        for query in queries:
            started = time.perf_counter()
            index.nearest(query, asked.n)
            seconds.append(time.perf_counter() - started)
        p50, p99 = np.percentile(1000 * np.array(seconds[WARM_UP:]), (50, 99))
        recall = asked.recall(index)
        rows.append({"effort": effort, "recall": round(recall, 4), "p50_ms": round(p50, 3), "p99_ms": round(p99, 3)})
    return {"rows": rows, "ask_mib": round(held_mib() - held)}


def held_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def peak_mib() -> float:
    """Of this process; what getrusage gives would begin with what its parent held."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 1024


if __name__ == "__main__":
    main()
