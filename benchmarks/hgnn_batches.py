"""How large a batch, and whether full-graph steps pay: what a step touches, and the MRR after so many seconds.

python benchmarks/hgnn_batches.py WORKSPACE --seconds 90          # on two cores; --device cuda: on a GPU

Contestants differ in the links of a batch and in the neighbours that are drawn. ``all`` draws every in-edge: with the
largest batch that is a full-graph step (a batch hides its links from message passing, so none holds more than a tenth
of a relation). Links of an epoch, learning rate (constant) and held-out links are the same for all; validation is not
counted. ``nodes`` is the share of the graph's nodes that a step reads, ``edges`` the millions of their in-edges.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from hgnn_common import Task, back_end, current_graph, fit, same_links, use_two_cores, warm_up
from record import record

from graphkit.config import load_config
from graphkit.config.hgnn import HgnnSection
from graphkit.hgnn.blocks import sample_blocks
from graphkit.hgnn.links import exclusion, find_links
from graphkit.hgnn.sampler import batches, draw_counts, draw_epoch
from graphkit.training.device import generator

CONSTANT = ("hgnn.schedule=constant", "hgnn.learning_rate=0.005", "hgnn.epochs=1000", "hgnn.patience=1000")
ALL = 2**31 - 1  # more in-edges than any node has
LARGEST = 2**40  # more links than an epoch has
BATCHES = (256, 2048, 8192, 32_768)
CONTESTANTS = [(size, False) for size in BATCHES] + [(8192, True), (LARGEST, True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--seconds", type=float, default=90, help="of training of each contestant")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    use_two_cores()
    base = load_config("default", [*CONSTANT, *options.sets]).hgnn
    graph, pooling = current_graph(options.workspace, options.device), back_end(base, options.device)
    warm_up(graph, base, pooling)
    task, rows = Task.of(graph, base, options.seed), []
    for size, every_edge in CONTESTANTS:
        fan_outs = tuple(ALL for _ in base.fan_outs) if every_edge else base.fan_outs
        settings = base.model_copy(update={"batch_size": size, "fan_outs": fan_outs})
        run = fit(graph, settings, options.seed, pooling, training_limit=options.seconds)
        same_links(task, run, pooling)
        rows.append(
            {"batch": "largest" if size == LARGEST else size, "in-edges": "all" if every_edge else "drawn"}
            | touched(task, settings, options.seed)
            | {"pairs_per_s": run.pairs_per_second, "seconds": round(run.checks[-1].seconds, 1)}
            | {"epochs": len(run.checks), "mrr": round(run.best, 4)}
        )
        print(rows[-1], flush=True)
    about = {"workspace": options.workspace.name, "device": options.device, "seed": options.seed}
    record("hgnn_batches", rows, **about, sets=options.sets)


def touched(task: Task, settings: HgnnSection, seed: int) -> dict[str, Any]:
    """What the first batch's links read of the graph."""
    links = find_links(task.train)
    available = {relation: len(its) for relation, its in links.items()}
    drawn = draw_epoch(links, draw_counts(available, settings), seed, 1)
    batch = next(iter(batches(drawn, available, settings.batch_size)))
    ends: dict[str, list[torch.Tensor]] = {node_type: [] for node_type in task.train.types}
    for relation, its in batch.items():
        ends[relation.src].append(its.src)
        ends[relation.dst].append(its.dst)
    seeds = {node_type: torch.unique(torch.cat(nodes)) for node_type, nodes in ends.items()}
    draw = generator(task.graph.device, seed, "touched")
    blocks = sample_blocks(task.train, seeds, settings.fan_outs, draw, exclusion(task.train, batch))
    nodes = sum(map(len, blocks[0].src_nodes.values())) / sum(task.graph.num_nodes.values())
    edges = sum(len(edges.indices) for block in blocks for edges in block.relations.values())
    return {"nodes": round(nodes, 3), "edges": round(edges / 1e6, 2)}


if __name__ == "__main__":
    main()
