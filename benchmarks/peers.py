"""The simple peers against independent figures on the same data: are they as strong as others have them?

    python benchmarks/peers.py eswc --packs FOLDER      tuned by `graphkit tune-peers`, NDCG@10 per type and group
    python benchmarks/peers.py gowalla --packs FOLDER   item-kNN and EASE under the LightGCN protocol, @20

``eswc``: the figures are those of other implementations on the pack's own split, settings found by hand. ``gowalla``:
published ones (BARS leaderboard, LightGCN's split); settings are chosen on a fifth of train.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from record import record

from graphkit.artefacts import Workspace
from graphkit.config import load_config
from graphkit.datasets.ingest import import_dataset
from graphkit.datasets.store import Dataset
from graphkit.evaluation.groups import COLD, WARM, TargetTask, final_parts, read_tasks
from graphkit.evaluation.metrics import user_metrics
from graphkit.evaluation.peers.ease import EasePeer
from graphkit.evaluation.peers.item_knn import ItemKnnPeer
from graphkit.evaluation.peers.peer import Peer, Setting
from graphkit.evaluation.peers.train_data import read_train
from graphkit.evaluation.peers.tune import tune_peers
from graphkit.evaluation.peers.tuned import left_out_peers, tuned_peers
from graphkit.evaluation.recommender import Recommender
from graphkit.evaluation.top_items import tie_order, top_items
from graphkit.evaluation.validation import sampled, validation_parts, validation_tasks

CELLS = [(target, group) for target in ("book", "movie", "music") for group in (WARM, COLD)]
#: NDCG@10 on eswc2015, by cell.
ESWC = {
    "Popularity": (0.0574, 0.0885, 0.0689, 0.1810, 0.0606, 0.1700),
    "Item-kNN": (0.0830, 0.1042, 0.1087, 0.2306, 0.1309, 0.2191),
    "EASE": (0.0762, 0.0977, 0.1348, 0.2351, 0.1513, 0.2221),
    "ALS": (0.0637, 0.0993, 0.1128, 0.1638, 0.1332, 0.1133),
}
#: Recall@20 and NDCG@20 on Gowalla.
GOWALLA = {"Item-kNN": (0.1570, 0.1214), "EASE": (0.1765, 0.1467)}
#: What `graphkit tune-peers` tries, then cosine alone; EASE's matrix takes minutes, so it has one.
GOWALLA_SETTINGS: dict[str, list[Setting]] = {
    "Item-kNN": [*ItemKnnPeer.settings[:6], {"shrinkage": 0, "neighbours": 100}],
    "EASE": [{"l2": 200}],
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["eswc", "gowalla"])
    parser.add_argument("--packs", type=Path, required=True, help="folder with eswc2015 and gowalla_lightgcn")
    parser.add_argument("--work", type=Path, help="keep the workspaces here between runs")
    parser.add_argument("--peers", nargs="+", default=list(GOWALLA), help="of gowalla")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        options.work = options.work or Path(temporary)
        {"eswc": eswc, "gowalla": gowalla}[options.part](options)


def workspace_of(options: argparse.Namespace, pack: str) -> Workspace:
    workspace = Workspace(options.work / pack)
    import_dataset(workspace, pack, options.packs / pack, load_config("default"))
    return workspace


def eswc(options: argparse.Namespace) -> None:
    """Every tuned peer, each of its settings on the cells it won."""
    workspace = workspace_of(options, "eswc2015")
    batch = tune_peers(workspace, load_config("laboratory", [f"run.threads={options.threads}"]))
    dataset = Dataset.current(workspace)
    tasks, rows, began = read_tasks(dataset), [], time.perf_counter()
    for peer in tuned_peers(dataset, batch, 0, options.threads):
        started, found = time.perf_counter(), {}
        for setting, cells in peer.fits:
            model = peer.fit(setting)
            for target, group in cells:
                task = tasks[target]
                users = task.users[task.members(group)]
                found[target, group] = float(metrics(model, task, users, ("NDCG@10",)).mean())
        row: dict[str, Any] = {"peer": peer.name}
        for cell, expected in zip(CELLS, ESWC.get(peer.name, [None] * 6), strict=True):
            row["/".join(cell)] = f"{found[cell]:.4f}" + (f" ({found[cell] / expected - 1:+.1%})" if expected else "")
        row["tuning_s"] = batch.manifest.metrics["seconds"][peer.name]
        rows.append(row | {"fitting_and_ranking_s": round(time.perf_counter() - started, 1)})
    record(
        "peers",
        rows,
        part="eswc",
        columns="NDCG@10 (against the independent figure)",
        tuning_seconds=batch.manifest.wall_seconds,
        ranking_seconds=round(time.perf_counter() - began, 1),
        peak_mib=peak_mib(),
        left_out=left_out_peers(batch),
        what={peer.name: peer.what for peer in tuned_peers(dataset, batch, 0, options.threads)},
    )


def gowalla(options: argparse.Namespace) -> None:
    """Settings by NDCG@20 on a sample of validation users, then one fit on all of train."""
    dataset = Dataset.current(workspace_of(options, "gowalla_lightgcn"))
    peers: dict[str, Peer] = {"Item-kNN": ItemKnnPeer(), "EASE": EasePeer(2**33)}
    rows = []
    for name in options.peers:
        began = time.perf_counter()
        setting = best(dataset, peers[name], GOWALLA_SETTINGS[name], options.threads)
        task, train = read_tasks(dataset)["place"], read_train(dataset, final_parts(dataset))
        started = time.perf_counter()
        model = peers[name].fit(train, setting, 0, options.threads)
        fitted = time.perf_counter() - started
        recall, ndcg = metrics(model, task, task.users, ("Recall@20", "NDCG@20")).mean(axis=0)
        expected = GOWALLA[name]
        rows.append(
            {
                "peer": name,
                "setting": dict(setting),
                "Recall@20": f"{recall:.4f} ({recall / expected[0] - 1:+.1%})",
                "NDCG@20": f"{ndcg:.4f} ({ndcg / expected[1] - 1:+.1%})",
                "fit_s": round(fitted, 1),
                "seconds": round(time.perf_counter() - began, 1),
                "peak_mib": peak_mib(),
            }
        )
    record("peers", rows, part="gowalla", columns="figure (against the published one)")


def best(dataset: Dataset, peer: Peer, settings: list[Setting], threads: int) -> Setting:
    """The setting with the best NDCG@20 on 3,000 validation users; the only one without a look."""
    if len(settings) == 1:
        return settings[0]
    train = read_train(dataset, validation_parts(dataset, 0))
    task = sampled(validation_tasks(dataset, 0)["place"], 3000, 0)

    def score(setting: Setting) -> float:
        model = peer.fit(train, setting, 0, threads)
        found = float(metrics(model, task, task.users, ("NDCG@20",)).mean())
        print(f"  {peer.name} {dict(setting)}: validation NDCG@20 {found:.4f}")
        return found

    return max(settings, key=score)


def metrics(model: Recommender, task: TargetTask, users: Any, names: tuple[str, ...]) -> Any:
    """Each user's metrics, float64 [n, len(names)]: the whole catalogue ranked, train items left out."""
    ties, parts = tie_order(task.num_items, 0), []
    for block in blocks(users, max(1, 4_000_000 // task.num_items)):
        top = top_items(model.scores(block, task.item_type), task.masked.pairs(block), ties, 20)
        relevant = np.zeros((len(block), task.num_items + 1), dtype=bool)
        relevant[task.positives.pairs(block)] = True
        hits = np.take_along_axis(relevant, top, axis=1)
        parts.append(user_metrics(hits, np.diff(task.positives.indptr)[block], names))
    return np.concatenate(parts)


def blocks(users: Any, size: int) -> Iterator[Any]:
    for start in range(0, len(users), size):
        yield users[start : start + size]


def peak_mib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    main()
