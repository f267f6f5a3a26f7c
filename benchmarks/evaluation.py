"""What full-catalogue evaluation costs: against a numpy and ranx evaluation of the same scores, and as users grow.

python benchmarks/evaluation.py speed    # 5,000 users, 16,000 items, every metric, the same lists from both
python benchmarks/evaluation.py growth   # 250,000 items, more and more users, a table of 12 models

The speed part needs ranx, which is in the extra ``graphkit[test]``. Each part of `growth` is a process of its own.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from record import record

SEED, DIM = 0, 128
METRICS = ("HR@10", "Recall@20", "NDCG@10", "MRR@100")
THEIRS = ("hit_rate@10", "recall@20", "ndcg@10", "mrr@100")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["speed", "growth", "slice"])
    parser.add_argument("--users", type=int, nargs="+", default=[5_000, 20_000, 80_000], help="of `growth`")
    parser.add_argument("--items", type=int, default=250_000, help="of `growth`")
    options = parser.parse_args()
    {"speed": speed, "growth": growth, "slice": one_slice}[options.part](options)


def world(num_users: int, num_items: int, dim: int, per_user: int = 30, wanted: int = 5) -> tuple[Any, Any]:
    """Random vectors, masks and test items: a ranker and a two-tower model of ``dim``."""
    from graphkit.evaluation.groups import TargetTask
    from graphkit.evaluation.ranking import Ranker
    from graphkit.evaluation.segments import segment_items
    from graphkit.evaluation.vector_models import DotProduct
    from graphkit.histories import History

    rng = np.random.default_rng(SEED)
    popular = (num_items * rng.random((num_users, per_user + wanted)) ** 3).astype(np.int32)
    masked, positives = np.sort(popular[:, :per_user]), popular[:, per_user:]

    def history(items: Any) -> History:
        kept = np.ones(items.shape, bool)
        kept[:, 1:] = np.diff(items) > 0
        return History(np.concatenate([[0], np.cumsum(kept.sum(axis=1))]), items[kept])

    task = TargetTask(
        "item", num_items, np.arange(num_users), np.arange(num_users) % 2 == 0, history(np.sort(positives)),
        history(masked), 0,
    )  # fmt: skip
    listeners = np.bincount(task.masked.items, minlength=num_items)
    users, items = (rng.standard_normal((n, dim)).astype(np.float32) for n in (num_users, num_items))
    model = DotProduct("two towers", users, {"item": items})
    return Ranker(task, segment_items(listeners, listeners > 0, SEED), METRICS, num_users, SEED, 2), model


def speed(_options: argparse.Namespace) -> None:
    """The same scores ranked by us and by argpartition, and measured by us (all segments) and by ranx."""
    ranker, model = world(5_000, 16_000, DIM)
    ranker.rank(model, np.arange(50))  # compiles
    started = time.perf_counter()
    found = ranker.rank(model)
    ours = time.perf_counter() - started
    _by_ranx(ranker, model, 50)
    started = time.perf_counter()
    theirs = _by_ranx(ranker, model, 5_000)
    took = time.perf_counter() - started
    mean = found.values[:, 0, : len(METRICS)].mean(axis=0)
    if not np.allclose(mean, theirs, atol=1e-6):
        raise SystemExit(f"the two disagree: {mean} and {theirs}")
    rows = [
        {"evaluation": "graphkit: 4 metrics x 8 segments, novelty, exposure", "seconds": round(ours, 2)},
        {"evaluation": "numpy argpartition + ranx: 4 metrics", "seconds": round(took, 2)},
    ]
    record("evaluation", [row | {"users": 5_000, "items": 16_000} for row in rows], part="speed")


def _by_ranx(ranker: Any, model: Any, num_users: int) -> list[float]:
    import ranx

    run, qrels = {}, {}
    for start in range(0, num_users, 250):
        users = np.arange(start, min(start + 250, num_users))
        scores = model.scores(users, "item")
        scores[ranker.task.masked.pairs(users)] = -np.inf
        top = np.argpartition(-scores, 100, axis=1)[:, :100]
        values = np.take_along_axis(scores, top, axis=1)
        for user, items, value in zip(users, top, values, strict=True):
            run[str(user)] = dict(zip(map(str, items.tolist()), value.tolist(), strict=True))
            qrels[str(user)] = {str(item): 1 for item in ranker.task.positives.of(user).tolist()}
    found = ranx.evaluate(ranx.Qrels(qrels), ranx.Run(run), list(THEIRS))
    return [found[name] for name in THEIRS]


def growth(options: argparse.Namespace) -> None:
    """Seconds and peak memory of ranking, the users' file and the table, slice by slice."""
    rows = []
    for users in options.users:
        words = [sys.executable, __file__, "slice", "--users", str(users), "--items", str(options.items)]
        said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        rows.append(json.loads(said.splitlines()[-1]))
    record("evaluation", rows, part="growth")


def one_slice(options: argparse.Namespace) -> None:
    """One model of small vectors, so that the ranking and not the matrix product is measured; a table of twelve."""
    from graphkit.evaluation.entries import Entry, Part
    from graphkit.evaluation.rank_models import rank_models
    from graphkit.evaluation.tables import Table, cells

    ranker, model = world(options.users[0], options.items, dim=16)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        totals = rank_models([Entry("one", "one", ((Part(lambda: model),),))], {"item": ranker}, Path(folder))
        ranked = time.perf_counter() - started
        table = Table({f"model {n}": totals["one"] for n in range(12)}, METRICS, 1000, SEED)
        table.rows(list(cells({"item": ranker.task}, ("warm", "cold", "all"))))
    row = {"users": options.users[0], "items": options.items, "ranking_seconds": round(ranked, 1)}
    row |= {"table_seconds": round(time.perf_counter() - started - ranked, 1), "input_mib": before}
    print(json.dumps(row | {"peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024}))


if __name__ == "__main__":
    main()
