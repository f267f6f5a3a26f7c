"""The bundle's speed: one user's list at a time on one core, and every user's lists on two.

python benchmarks/serving.py WORKSPACE --users 2000 -k 100

The workspace has a current bundle (`large_bundle.py` makes one of any size).
A recommendation is the whole of it: histories and features to the user tower's inputs, the tower, the edges, the
index, the blend, what was seen struck out, and names looked up; "towers" is a part of that: inputs, vector and
the nearest k. Each target type in turn, in one process, after 50 unmeasured ones; the users are a seeded sample of
those with a history.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from record import record

from graphkit import Bundle
from graphkit.artefacts import Workspace

WARM_UP, CORES = 50, 2


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--users", type=int, default=2000)
    parser.add_argument("-k", type=int, default=100)
    options = parser.parse_args()
    bundle = Bundle.open(Workspace(options.workspace).current("bundle").folder)
    cores = sorted(os.sched_getaffinity(0))[:CORES]
    rows = []
    for item_type in bundle.meta.targets:
        os.sched_setaffinity(0, cores[:1])
        one = one_by_one(bundle, item_type, options.users, options.k)
        os.sched_setaffinity(0, cores)
        rows.append(
            {"type": item_type, "items": bundle.meta.num_items[item_type]}
            | one
            | together(bundle, item_type, options.k)
        )
    about = {"workspace": options.workspace.name, "users": options.users, "k": options.k}
    record("serving", rows, **about, index_recall_at_100=bundle.batch.manifest.metrics["index_recall_at_100"])


def one_by_one(bundle: Bundle, item_type: str, count: int, k: int) -> dict[str, Any]:
    """Milliseconds of one recommendation, and of the towers' part alone."""
    ids, users = bundle.catalogue.users()
    known = np.flatnonzero(bundle.user_features.pooled_items(users))
    chosen = np.random.default_rng(0).permutation(known)[: WARM_UP + count]
    whole, towers = [], []
    for place in chosen:
        started = time.perf_counter()
        bundle.recommend(ids[int(place)], item_type, k=k)
        whole.append(time.perf_counter() - started)
    for place in chosen:
        started = time.perf_counter()
        vector = bundle.user_vectors(bundle.user_features.inputs(users[place : place + 1]))[0]
        bundle.index(item_type).nearest(vector, k)
        towers.append(time.perf_counter() - started)
    return percentiles("", whole) | percentiles("towers_", towers)


def percentiles(name: str, seconds: list[float]) -> dict[str, float]:
    """Median and 99th percentile in milliseconds, after the first ones."""
    milliseconds = 1000 * np.array(seconds[WARM_UP:])
    return {f"{name}p{q}_ms": round(float(np.percentile(milliseconds, q)), 2) for q in (50, 99)}


def together(bundle: Bundle, item_type: str, k: int) -> dict[str, Any]:
    """Users a second of ``recommend_all``, the file included, after a first run that compiles."""
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(2):
            started = time.perf_counter()
            bundle.recommend_all(Path(folder) / "lists.parquet", [item_type], k, CORES)
            seconds = time.perf_counter() - started
    return {
        "all_users": bundle.meta.num_users,
        "all_seconds": round(seconds, 2),
        "users_per_s": round(bundle.meta.num_users / seconds),
    }


if __name__ == "__main__":
    main()
