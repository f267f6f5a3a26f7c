"""Training the towers against a keras-rs retrieval model of the same shape: examples per second, in the same run.

python benchmarks/tower_training.py WORKSPACE --rounds 7 --batches 40

The workspace has a dataset, a graph and an HGNN. Both models have towers of the same inputs, widths and batches, an
in-batch softmax with its correction for popularity, and Adam. graphkit trains as `graphkit train-towers` does, on all
target types: examples are drawn, their histories pooled without the label, accidental hits masked, by a thread that
works ahead. The peer has the largest type alone, batches of which were made beforehand and stand in memory, which
saves it that work; it is fed by tf.data and trained by Keras's own `fit`, without deterministic kernels. Each
contestant is a process of its own, and they take turns, one window each a round; the median over the rounds counts.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from record import record

GRAPHKIT, PEER = "graphkit", "keras-rs"
CONTESTANTS = {
    "graphkit": (GRAPHKIT, "auto"),
    "graphkit, float32": (GRAPHKIT, "float32"),
    "keras-rs": (PEER, "float32"),
    "keras-rs, bfloat16": (PEER, "bfloat16"),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--batches", type=int, default=40, help="in a window")
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--contestant", choices=CONTESTANTS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contestant:
        contend(options)
        return
    rates: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    processes = {name: start(name) for name in CONTESTANTS}
    try:
        for process in processes.values():
            answer(process)  # ready
        for _ in range(options.rounds):
            for name, process in processes.items():
                process.stdin.write("window\n")
                process.stdin.flush()
                rates[name].append(answer(process)["examples_per_s"])
    finally:
        for process in processes.values():
            process.kill()
    peer = {precision: median(rates[name]) for name, (kind, precision) in CONTESTANTS.items() if kind == PEER}
    rows = [
        {
            "contestant": name,
            "examples_per_s": round(median(found)),
            "slowest": round(min(found)),
            "fastest": round(max(found)),
            "to_the_peer_in_float32": round(median(found) / peer["float32"], 2),
        }
        for name, found in rates.items()
    ]
    about = {"workspace": options.workspace.name, "rounds": options.rounds, "batches": options.batches}
    record("tower_training", rows, sets=options.sets, rates=rates, **about)


def start(name: str) -> subprocess.Popen[str]:
    words = [sys.executable, __file__, *sys.argv[1:], "--contestant", name]
    return subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    """The next line of a contestant; it may only speak JSON."""
    line = process.stdout.readline()
    if not line:
        raise SystemExit("a contestant ended early")
    found: dict[str, Any] = json.loads(line)
    return found


# --- one contestant in its own process -----------------------------------------------------------------------


def contend(options: argparse.Namespace) -> None:
    """Train a window of batches whenever asked to."""
    kind, precision = CONTESTANTS[options.contestant]
    make = graphkit_windows if kind == GRAPHKIT else peer_windows
    window = make(read(options), precision, options.batches)
    window()  # warms up
    print(json.dumps({"ready": True}), flush=True)
    for _ in sys.stdin:
        began = time.perf_counter()
        examples = window()
        print(json.dumps({"examples_per_s": examples / (time.perf_counter() - began)}), flush=True)


def read(options: argparse.Namespace) -> Any:
    """The training task of the workspace's current dataset, graph and HGNN."""
    from graphkit.artefacts import Workspace
    from graphkit.config import load_config
    from towers.fit import read_task
    from towers.sources import read_sources

    sets = ["towers.catalogue_negatives=0", "towers.item_dropout=0", *options.sets]
    config = load_config("default", sets)
    upstream = Workspace(options.workspace).upstream("towers", config)
    return read_task(read_sources(upstream, config.towers), seed=0)


def graphkit_windows(task: Any, precision: str, batches: int) -> Callable[[], int]:
    """Windows of graphkit's own epochs."""
    from dataclasses import replace

    from towers.backend import prepare
    from towers.epochs import build_towers
    from towers.feed import ahead, epoch_batches

    prepare(0)
    task = replace(task, settings=task.settings.model_copy(update={"precision": precision}))
    towers = build_towers(task)

    def endless() -> Iterator[Any]:
        epoch = 0
        while True:
            epoch += 1
            yield from epoch_batches(task.feed, task.train, task.settings, np.random.default_rng(epoch))

    feed = ahead(endless())

    def window() -> int:
        examples = 0
        for _ in range(batches):
            batch = next(feed)
            towers.pairs[batch.item_type].train_on_batch(batch.x, batch.y)
            examples += batch.size
        return examples

    return window


def peer_windows(task: Any, precision: str, batches: int) -> Callable[[], int]:
    """Windows of the peer on the target type with the most examples: it has one pair of towers."""
    import keras
    import tensorflow as tf
    from tower_training_peer import retrieval_model

    keras.utils.set_random_seed(0)
    if precision != "float32":
        keras.config.set_dtype_policy(f"mixed_{precision}")
    item_type = max(task.train, key=lambda t: len(task.train[t]))
    labels, items = task.train[item_type], task.feed.items[item_type]
    size = task.settings.batch_size
    rows = np.random.default_rng(0).permutation(len(labels))[: size * batches]
    rows = rows[: len(rows) // size * size]
    examples = {
        "user": task.feed.users.inputs(labels.users[rows])._asdict(),
        "item": items.inputs(labels.items[rows])._asdict(),
        "id": labels.items[rows].astype(np.int32),
        "probability": task.feed.probability[item_type][labels.items[rows]],
    }
    shape = (len(rows) // size, size)
    examples = keras.tree.map_structure(lambda column: column.reshape(*shape, *column.shape[1:]), examples)
    data = tf.data.Dataset.from_tensor_slices(examples).prefetch(tf.data.AUTOTUNE)  # batches, ready made
    model = retrieval_model(task.feed.users.spec, items.spec, task.settings)
    model.compile(optimizer=keras.optimizers.Adam(task.settings.learning_rate))

    def window() -> int:
        model.fit(data, epochs=1, verbose=0, shuffle=False)
        return len(rows)

    return window


if __name__ == "__main__":
    main()
