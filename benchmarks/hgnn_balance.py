"""The balanced sampler against the unbalanced one: seconds to the same validation MRR, and the sparse type's links.

python benchmarks/hgnn_balance.py WORKSPACE --seeds 0 1 2

Balanced is the default. Unbalanced takes all links of every relation each epoch, as the paper has it; a run is looked
at after its epochs, so a third contestant, ``unbalanced-short``, draws from all links alike but only as many an epoch
as the balanced one, and is looked at as often. Everything else is equal; the learning rate is constant, since a
schedule over the planned epochs would be cut off in the longer runs. The goal is 0.99 of the smaller of two best
MRRs. HR@10 is over held-out links within the target type with the fewest strong pairs, which get no edge.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from hgnn_common import (
    FitRun,
    Task,
    back_end,
    current_graph,
    drawn_means,
    ends,
    fit,
    link_hits,
    median,
    same_links,
    shown,
    use_two_cores,
    warm_up,
)
from record import record

from graphkit.artefacts import Workspace
from graphkit.config import load_config
from graphkit.config.hgnn import HgnnSection
from graphkit.datasets.store import Dataset
from graphkit.graph.roles import SPARSE, type_roles
from graphkit.graph.store import CO_LISTENING, Relation
from graphkit.hgnn.graph_tensors import GraphTensors
from graphkit.hgnn.infer import embed_graph
from graphkit.hgnn.links import find_links

BALANCED, UNBALANCED, SHORT = "balanced", "unbalanced", "unbalanced-short"
NO_CAP, GOAL = 10**9, 0.99
CONSTANT = ("hgnn.schedule=constant", "hgnn.learning_rate=0.005")

Runs = dict[str, list[FitRun]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--samplers", nargs="+", default=[UNBALANCED, SHORT], choices=[UNBALANCED, SHORT])
    parser.add_argument("--budget", type=float, default=1800, help="seconds of training of one run, at most")
    parser.add_argument("--preset", default="default")
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    use_two_cores()
    settings = load_config(options.preset, [*CONSTANT, *options.sets]).hgnn
    graph = current_graph(options.workspace)
    (sparse,) = type_roles(Dataset.current(Workspace(options.workspace)))[SPARSE]
    relation = Relation(sparse, CO_LISTENING, sparse)
    runs: Runs = {name: [] for name in (BALANCED, *options.samplers)}
    hits: dict[str, list[np.ndarray]] = {name: [] for name in runs}
    for seed in options.seeds:
        for name, run, hit in contest(graph, settings, seed, relation, list(runs), options.budget):
            runs[name].append(run)
            hits[name].append(hit)
    about = {"workspace": options.workspace.name, "seeds": options.seeds, "budget": options.budget}
    about |= {"preset": options.preset, "sets": options.sets, "relation": relation.name}
    about |= {"checks": {name: [run.checks for run in found] for name, found in runs.items()}}
    record("hgnn_balance", table(runs, hits, options.seeds), **about)


def contest(
    graph: GraphTensors, settings: HgnnSection, seed: int, relation: Relation, names: list[str], budget: float
) -> Iterator[tuple[str, FitRun, np.ndarray]]:
    """Yield each sampler's name, its training and the hits of its best model on the held-out links."""
    pooling, task, drawn = back_end(settings), Task.of(graph, settings, seed), 0
    warm_up(graph, settings, pooling)
    for name in names:
        run = fit(graph, variant(settings, name, short_cap(task, drawn)), seed, pooling, training_limit=budget)
        same_links(task, run, pooling)
        drawn = drawn or links_an_epoch(run)  # of the balanced one, which comes first
        z = embed_graph(run.state.model, task.train, pooling)
        print(f"seed {seed}, {name}: MRR {run.best:.4f}, {run.checks[-1].seconds:.1f} s, {run.stopped}", flush=True)
        yield name, run, link_hits(z, task.train, relation, task.held[relation])


def links_an_epoch(run: FitRun) -> int:
    """How many links an epoch of ``run`` takes."""
    return run.checks[0].pairs // 2


def short_cap(task: Task, drawn: int) -> int:
    """The cap that lets an unbalanced epoch take ``drawn`` links in all: the share of the largest relation."""
    counts = [len(links) for links in find_links(task.train).values()]
    return max(1, round(max(counts) * drawn / sum(counts)))


def variant(settings: HgnnSection, name: str, cap: int) -> HgnnSection:
    """The settings of a contestant; ``cap`` is that of the short unbalanced epochs."""
    if name == BALANCED:
        return settings
    limit = cap if name == SHORT else NO_CAP
    return settings.model_copy(update={"sampler": "unbalanced", "max_edges_per_relation": limit})


def table(runs: Runs, hits: dict[str, list[np.ndarray]], seeds: list[int]) -> list[dict[str, Any]]:
    """A row a seed and sampler, then each sampler over the seeds."""
    rows = []
    for name in runs:
        for number, seed in enumerate(seeds):
            rows.append(row(str(seed), name, runs, hits, [number]))
    for name in runs:
        rows.append(row("all", name, runs, hits, list(range(len(seeds)))))
    return rows


def row(label: str, name: str, runs: Runs, hits: dict[str, list[np.ndarray]], of: list[int]) -> dict[str, Any]:
    """One sampler over the seeds ``of``: medians of times and ratios; hits of all their links, with intervals."""
    mine, balanced = [runs[name][i] for i in of], [runs[BALANCED][i] for i in of]
    other = mine if name != BALANCED else [runs[list(runs)[1]][i] for i in of]
    goals = [GOAL * min(a.best, b.best) for a, b in zip(balanced, other, strict=True)]
    seconds = [run.seconds_to(goal) for run, goal in zip(mine, goals, strict=True)]
    ratios = [s / b.seconds_to(goal) for s, b, goal in zip(seconds, balanced, goals, strict=True)]
    found, base = (np.concatenate([hits[one][i] for i in of]) for one in (name, BALANCED))
    draws = drawn_means(np.stack([found, base], axis=1)) if len(found) else np.full((1, 2), np.nan)
    return {
        "seed": label,
        "sampler": name,
        "best_mrr": round(median([run.best for run in mine]), 4),
        "epochs": median([len(run.checks) for run in mine]),
        "links_an_epoch": median([links_an_epoch(run) for run in mine]),
        "links_per_s": round(median([run.pairs_per_second for run in mine]) / 2),
        "goal_mrr": round(median(goals), 4),
        "seconds_to_goal": shown(median(seconds)),
        "over_balanced": shown(median(ratios)),
        "HR@10": f"{found.mean() if len(found) else np.nan:.4f} ({ends(draws[:, 0])})",
        "balanced_minus_it": "-" if name == BALANCED else ends(draws[:, 1] - draws[:, 0]),
        "links": len(found),
        "stopped": "/".join(run.stopped for run in mine),
    }


if __name__ == "__main__":
    main()
