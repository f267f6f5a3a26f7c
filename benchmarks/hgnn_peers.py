"""Training the HGNN against the stock DGL recipe and PyTorch Geometric's SAGE layers: time to the same MRR.

python benchmarks/hgnn_peers.py WORKSPACE --seeds 0 1 2 --budget 1800

The workspace has a current graph. Two cores; one contestant at a time, each in a process of its own, all with the
same held-out links, training graph, validation (exact embeddings, every relation counting the same) and stopping
rule: the budget of seconds of training, or as many pairs without a better MRR as graphkit's patience comes to.
Validation is not counted for any. A peer first chooses among its settings (loss and learning rate, then batch size)
by the best MRR of short runs on another seed. The goal is 0.98 of the best MRR that a peer reached; graphkit is
looked at after whole epochs alone.
"""

from __future__ import annotations

import argparse
import importlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import torch
from hgnn_common import (
    CORES,
    Check,
    Rules,
    Run,
    Task,
    back_end,
    current_graph,
    fit,
    median,
    race,
    same_links,
    shown,
    use_two_cores,
    warm_up,
)
from record import record

from graphkit.config import load_config

GRAPHKIT = "graphkit"
PEERS = {"dgl": "hgnn_peer_dgl", "pyg": "hgnn_peer_pyg"}
GOAL, TUNING_SEED = 0.98, 1000
LOSSES, RATES = ("margin", "softmax"), (0.005, 0.001)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--budget", type=float, default=1800, help="seconds of training of one run, at most")
    parser.add_argument("--tuning", type=float, default=300, help="seconds of training of one setting of a peer")
    parser.add_argument("--looks", type=int, default=60, help="validations of a peer within the budget")
    parser.add_argument(
        "--batch-sizes", type=int, nargs="+", default=[256, 1024], help="edges; the first is the stock"
    )
    parser.add_argument("--peers", nargs="+", choices=PEERS, default=list(PEERS))
    parser.add_argument("--preset", default="default", help="graphkit's settings")
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--contender", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        run = contend(options, **options.contender)
        print(json.dumps({"checks": run.checks, "stopped": run.stopped}))
        return
    use_two_cores()
    ours = {seed: spawn(options, GRAPHKIT, seed, {"budget": options.budget}) for seed in options.seeds}
    patience = patience_pairs(options, list(ours.values()))
    settings = {peer: tuned(options, peer, patience) for peer in options.peers}
    rules = {"budget": options.budget, "patience": patience}
    theirs = {
        peer: [spawn(options, peer, seed, rules | {"setting": settings[peer]["chosen"]}) for seed in options.seeds]
        for peer in options.peers
    }
    about = {key: getattr(options, key) for key in ("seeds", "budget", "tuning", "looks", "preset", "sets")}
    about |= {"workspace": options.workspace.name, "goal": GOAL, "patience_pairs": patience, "settings": settings}
    about |= {
        "checks": {name: [run.checks for run in runs] for name, runs in (theirs | {GRAPHKIT: ours.values()}).items()}
    }
    record("hgnn_peers", table(theirs, list(ours.values()), options.seeds), **about)


# --- one contestant in its own process -----------------------------------------------------------------------


def spawn(options: argparse.Namespace, name: str, seed: int, rules: dict[str, Any]) -> Run:
    """Run a contestant to its end."""
    words = [sys.executable, __file__, str(options.workspace), "--looks", str(options.looks)]
    words += ["--preset", options.preset, *(word for text in options.sets for word in ("--set", text))]
    words += ["--contender", json.dumps({"name": name, "seed": seed} | rules)]
    said = subprocess.run(words, check=True, stdout=subprocess.PIPE, text=True).stdout
    found = json.loads(said.splitlines()[-1])
    run = Run([Check(*check) for check in found["checks"]], found["stopped"])
    last = run.checks[-1]
    setting = rules.get("setting", "")
    print(f"seed {seed}, {name} {setting}: MRR {run.best:.4f}, {last.seconds:.0f} s, {run.stopped}", flush=True)
    return run


def contend(
    options: argparse.Namespace,
    name: str,
    seed: int,
    budget: float,
    patience: float = 0,
    setting: dict[str, Any] | None = None,
) -> Run:
    """Train in this process, until the rules say stop."""
    graph, hgnn = current_graph(options.workspace), load_config(options.preset, options.sets).hgnn
    task = Task.of(graph, hgnn, seed)
    if name == GRAPHKIT:
        pooling = back_end(hgnn)
        warm_up(graph, hgnn, pooling)
        run = fit(graph, hgnn, seed, pooling, training_limit=budget)
        same_links(task, run, pooling)
        return run
    torch.set_num_threads(CORES)
    steps, embed = importlib.import_module(PEERS[name]).start(task, setting, seed)
    return race(steps, lambda: task.mrr(embed()), Rules(budget, budget / options.looks, patience))


# --- what the parent decides ---------------------------------------------------------------------------------


def patience_pairs(options: argparse.Namespace, ours: list[Run]) -> int:
    """graphkit's patience in pairs: so many epochs of its own."""
    return load_config(options.preset, options.sets).hgnn.patience * max(run.checks[0].pairs for run in ours)


def tuned(options: argparse.Namespace, peer: str, patience: int) -> dict[str, Any]:
    """The setting with the best MRR in short runs: loss and learning rate first, then the batch size."""
    tried: list[tuple[float, dict[str, Any]]] = []
    first, *others = options.batch_sizes
    todo = [{"loss": loss, "learning_rate": rate, "batch_size": first} for loss in LOSSES for rate in RATES]
    rules = {"budget": options.tuning, "patience": patience}
    for setting in todo:
        tried.append((spawn(options, peer, TUNING_SEED, rules | {"setting": setting}).best, setting))
    best = max(tried, key=lambda one: one[0])[1]
    for size in others:
        setting = best | {"batch_size": size}
        tried.append((spawn(options, peer, TUNING_SEED, rules | {"setting": setting}).best, setting))
    return {"chosen": max(tried, key=lambda one: one[0])[1], "tried": tried}


def table(theirs: dict[str, list[Run]], ours: list[Run], seeds: list[int]) -> list[dict[str, Any]]:
    """A row a peer and seed, then each peer's medians."""
    rows = []
    for peer, runs in theirs.items():
        mine = [row(str(seed), peer, [a], [b]) for seed, a, b in zip(seeds, runs, ours, strict=True)]
        rows += [*mine, row("median", peer, runs, ours)]
    return rows


def row(label: str, peer: str, theirs: list[Run], ours: list[Run]) -> dict[str, Any]:
    """Medians over seeds; the ratio is how many times as long the peer takes, 0 where graphkit never gets there."""
    goals = [GOAL * run.best for run in theirs]
    their_seconds = [run.seconds_to(goal) for run, goal in zip(theirs, goals, strict=True)]
    our_seconds = [run.seconds_to(goal) for run, goal in zip(ours, goals, strict=True)]
    return {
        "seed": label,
        "peer": peer,
        "peer_best_mrr": round(median([run.best for run in theirs]), 4),
        "graphkit_best_mrr": round(median([run.best for run in ours]), 4),
        "goal_mrr": round(median(goals), 4),
        "peer_seconds": shown(median(their_seconds)),
        "graphkit_seconds": shown(median(our_seconds)),
        "ratio": round(median([a / b for a, b in zip(their_seconds, our_seconds, strict=True)]), 2),
        "peer_pairs_per_s": round(median([run.pairs_per_second for run in theirs])),
        "graphkit_pairs_per_s": round(median([run.pairs_per_second for run in ours])),
        "stopped": "/".join(run.stopped for run in theirs),
        "graphkit_stopped": "/".join(run.stopped for run in ours),
    }


if __name__ == "__main__":
    main()
