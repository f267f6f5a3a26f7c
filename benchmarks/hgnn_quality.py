"""The HGNN alone under several presets: NDCG@10 of the mean of a user's items, per target type and group, and pooled.

python benchmarks/hgnn_quality.py WORKSPACE --seeds 0 1 2 --presets default paper --limit 3600

The workspace's current dataset is adopted as it is (make it with ``split.holdout=validation`` to tune). Each preset
builds its own graph in WORKSPACE/hgnn-quality/PRESET, is trained with each seed on the ``fit`` snapshot and ranked by
its embeddings of the ``serve`` snapshot, as the row HGNN of ``graphkit evaluate``. ``--set`` goes to every preset, or
as PRESET:section.key=value to one. ``--limit`` ends a training after the first epoch past so many wall seconds; the
best epoch counts. The ratio is of the first preset to each other one, with a paired 95 % bootstrap interval over
users; figures are means over seeds.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from hgnn_common import back_end, drawn_means, ends, fit, median
from record import record

from graphkit.artefacts import Batch, Workspace
from graphkit.config import Config, load_config
from graphkit.datasets.store import Dataset
from graphkit.evaluation.groups import GROUPS, TargetTask, read_tasks
from graphkit.evaluation.peers.train_data import history_matrices
from graphkit.evaluation.ranking import Ranker
from graphkit.evaluation.segments import segment_items
from graphkit.evaluation.vector_models import MeanOfHistory
from graphkit.graph.build import TEXT_CACHE, build_graph
from graphkit.graph.store import FIT, SERVE, read_graph
from graphkit.hgnn.graph_tensors import to_tensors
from graphkit.hgnn.infer import embed_graph
from graphkit.hgnn.text_neighbours import with_text_neighbours
from graphkit.training.device import choose_device

METRIC, FOLDER, POOLED = "NDCG@10", "hgnn-quality", "all"
#: One preset's NDCG@10 of every list, by target type: float64 [num_users of the type], mean over seeds.
Values = dict[str, np.ndarray]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--presets", nargs="+", default=["default", "paper"])
    parser.add_argument("--set", dest="sets", action="append", default=[], metavar="[PRESET:]KEY=VALUE")
    parser.add_argument("--limit", type=float, default=float("inf"), help="wall seconds of one training, at most")
    options = parser.parse_args()
    bench = Bench.open(Workspace(options.workspace))
    found: dict[str, Values] = {}
    trained: list[dict[str, Any]] = []
    for preset in options.presets:
        config = bench.config(preset, options.sets)
        graph = bench.graph(preset, config)
        runs = []
        for seed in options.seeds:
            values, about = bench.quality(graph, config, seed, options.limit)
            runs.append(values)
            trained.append({"preset": preset, "seed": seed} | about)
            print(time.strftime("%H:%M:%S"), trained[-1], flush=True)
        found[preset] = {t: np.mean([values[t] for values in runs], axis=0) for t in runs[0]}
    about = {key: getattr(options, key) for key in ("seeds", "sets")} | {"limit": str(options.limit)}
    about |= {"workspace": options.workspace.name, "holdout": bench.holdout, "trainings": trained}
    record("hgnn_quality", table(bench.tasks, found) + costs(trained), metric=METRIC, **about)


@dataclass(frozen=True)
class Bench:
    """The dataset, and what is ranked on it."""

    workspace: Workspace
    dataset: Dataset
    tasks: dict[str, TargetTask]
    histories: dict[str, Any]

    @classmethod
    def open(cls, workspace: Workspace) -> Bench:
        dataset = Dataset.current(workspace)
        return cls(workspace, dataset, read_tasks(dataset), history_matrices(dataset))

    @property
    def holdout(self) -> str:
        return str(self.dataset.batch.manifest.settings.get("split", {}).get("holdout"))

    def config(self, preset: str, sets: Sequence[str]) -> Config:
        """A preset under what the dataset's card recommends and the overrides that are meant for it."""
        mine = [text.removeprefix(f"{preset}:") for text in sets if meant_for(text) in (None, preset)]
        return load_config(preset, mine, self.dataset.meta.config)

    def graph(self, preset: str, config: Config) -> Batch:
        """The graph under a preset's settings, built if it is not there; texts are encoded once for all."""
        place = Workspace(self.workspace.root / FOLDER / preset)
        place.adopt(self.dataset.batch)
        cache, shared = place.root / TEXT_CACHE, self.workspace.root / TEXT_CACHE
        if not cache.exists():
            shared.mkdir(exist_ok=True)
            cache.symlink_to(shared.resolve(), target_is_directory=True)
        return build_graph(place, config)

    def quality(self, graph: Batch, config: Config, seed: int, limit: float) -> tuple[Values, dict[str, Any]]:
        """Train once: each user's NDCG@10 by target type, and what the training came to."""
        device = choose_device(config.hgnn.device, where="hgnn.device")
        pooling = back_end(config.hgnn, str(device))
        run = fit(to_tensors(read_graph(graph, FIT), device), config.hgnn, seed, pooling, wall_limit=limit)
        serve = with_text_neighbours(read_graph(graph, SERVE), config.hgnn.text_neighbours)
        embedded = embed_graph(run.state.model, to_tensors(serve, device), pooling)
        vectors = {t: embedded[t].cpu().numpy() for t in self.dataset.meta.types}
        model = MeanOfHistory("HGNN", self.histories, vectors)
        values = {
            t: self.ranker(task).rank(model).values[:, 0, 0].astype(np.float64) for t, task in self.tasks.items()
        }
        about = {"pooled": round(float(np.concatenate(list(values.values())).mean()), 4), "device": str(device)}
        about |= {"wall_seconds": round(run.wall_seconds, 1), "training_seconds": round(run.checks[-1].seconds, 1)}
        about |= {"epochs": len(run.checks), "best_epoch": run.state.best_epoch, "val_mrr": round(run.best, 4)}
        return values, about | {"stopped": run.stopped, "graph_seconds": round(graph.manifest.wall_seconds, 1)}

    def ranker(self, task: TargetTask) -> Ranker:
        """Ranks a target type; tiers of popularity are not looked at."""
        nobody = np.zeros(task.num_items, np.int64)
        segments = segment_items(nobody, nobody > 0, 0)
        return Ranker(task, segments, (METRIC,), self.dataset.meta.num_users, 0, 2)


def meant_for(text: str) -> str | None:
    """The preset that an override names; None where it is for all."""
    name = text.partition("=")[0]
    return name.partition(":")[0] if ":" in name else None


# --- the table -----------------------------------------------------------------------------------------------


def table(tasks: Mapping[str, TargetTask], found: Mapping[str, Values]) -> list[dict[str, Any]]:
    """A row a target type and user group, then those of all types together."""
    cells = [((t,), group) for t in tasks for group in GROUPS] + [(tuple(tasks), group) for group in GROUPS]
    rows = []
    for types, group in cells:
        members = {t: tasks[t].members(group) for t in types}
        if any(map(len, members.values())):
            name = types[0] if len(types) == 1 else POOLED
            rows.append({"target": name, "group": group} | figures(tasks, found, members))
    return rows


def figures(
    tasks: Mapping[str, TargetTask], found: Mapping[str, Values], members: Mapping[str, np.ndarray]
) -> dict[str, Any]:
    """Each preset's mean and interval, and the ratios; a user is drawn with all of their lists."""
    users, at = np.unique(np.concatenate([tasks[t].users[rows] for t, rows in members.items()]), return_inverse=True)
    lists = {
        preset: np.concatenate([values[t][rows] for t, rows in members.items()]) for preset, values in found.items()
    }
    sums = np.stack([np.bincount(at, of_it, len(users)) for of_it in lists.values()], axis=1)
    draws = drawn_means(sums, np.bincount(at, minlength=len(users)))
    row: dict[str, Any] = {"users": len(users)}
    for number, (preset, of_it) in enumerate(lists.items()):
        row[preset] = f"{of_it.mean():.4f} ({ends(draws[:, number])})"
    first, *others = lists
    for number, other in enumerate(others, start=1):
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio, drawn = lists[first].mean() / lists[other].mean(), draws[:, 0] / draws[:, number]
        row[f"{first}/{other}"] = f"{ratio:.3f} ({ends(drawn)})"
    return row


def costs(trained: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Medians over seeds of each preset's wall seconds and epochs, in the columns of the presets."""
    presets = list(dict.fromkeys(run["preset"] for run in trained))
    rows = []
    for label in ("wall_seconds", "training_seconds", "epochs", "val_mrr", "pooled"):
        of = partial(_median_of, trained, label)
        rows.append({"target": label, "group": "median of seeds"} | {preset: of(preset) for preset in presets})
    return rows


def _median_of(trained: Sequence[Mapping[str, Any]], label: str, preset: str) -> float:
    return round(median([run[label] for run in trained if run["preset"] == preset]), 4)


if __name__ == "__main__":
    main()
