"""The HGNN's training on one device: pairs a second and the MRR they come to, by links a batch.

python benchmarks/hgnn_device.py WORKSPACE --device cuda --seconds 10 --batches 256 2048 8192

Every training starts anew and ends after the first epoch past the seconds; validation is not counted. With
--any-order each is also trained with kernels that add up in no fixed order (``train-hgnn`` asks for repeatable ones,
as far as the device has them). --profile prints where the time of a few steps goes.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch
from hgnn_common import back_end, current_graph, fit, warm_up
from record import record

from graphkit.config import load_config
from graphkit.training.device import choose_device, precision_name

CONSTANT = ("hgnn.schedule=constant", "hgnn.epochs=1000", "hgnn.patience=1000")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--seconds", type=float, default=10, help="of training of each contestant")
    parser.add_argument("--batches", type=int, nargs="+", default=[256, 2048, 8192], help="links a batch")
    parser.add_argument("--any-order", action="store_true", help="with and without repeatable kernels")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    base = load_config("default", [*CONSTANT, *options.sets]).hgnn
    graph, pooling = current_graph(options.workspace, options.device), back_end(base, options.device)
    warm_up(graph, base, pooling)
    rows: list[dict[str, Any]] = []
    for size in options.batches:
        for repeatable in (True, False) if options.any_order else (True,):
            torch.use_deterministic_algorithms(repeatable, warn_only=options.device != "cpu")
            settings = base.model_copy(update={"batch_size": size})
            run = fit(graph, settings, options.seed, pooling, training_limit=options.seconds)
            rows.append(
                {"batch": size, "repeatable": repeatable, "pairs_per_s": run.pairs_per_second}
                | {"seconds": round(run.checks[-1].seconds, 1), "epochs": len(run.checks), "mrr": round(run.best, 4)}
            )
            print(rows[-1], flush=True)
    if options.profile:
        profile(graph, base, pooling, options.device)
    name = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
    edges = {relation.name: len(of_it.indices) for relation, of_it in graph.relations.items()}
    record(
        "hgnn_device",
        rows,
        workspace=options.workspace.name,
        device=name,
        precision=precision_name(base.precision, choose_device(options.device)),
        edges=edges,
        seed=options.seed,
        sets=options.sets,
    )


def profile(graph: Any, base: Any, pooling: Any, device: str) -> None:
    """The operations that took longest in one short epoch."""
    few = base.model_copy(update={"epochs": 1, "min_edges_per_relation": 2000, "max_edges_per_relation": 2000})
    with torch.profiler.profile() as found:
        fit(graph, few, 0, pooling)
    for by in ("self_cuda_time_total", "self_cpu_time_total") if device == "cuda" else ("self_cpu_time_total",):
        print(found.key_averages().table(sort_by=by, row_limit=14, max_name_column_width=48))


if __name__ == "__main__":
    main()
