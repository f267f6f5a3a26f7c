"""Stage ``edges``: the weights of the strongest co-listening edges.

Files: ``edges.safetensors`` (``<target>/<group>/indptr``, ``/indices`` and ``/weights``: a CSR [all items, items of
the target], items of all types side by side in the dataset's order) and ``edges.json`` (how validation was cut, per
target type and group the chosen ``l2``, and the towers' weight in the blend).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar, Final

import numpy as np
from safetensors.numpy import load_file, save_file
from scipy import sparse

from graphkit.artefacts import Batch, StageSpec, Workspace
from graphkit.config import Config
from graphkit.config.sections import EdgesSection
from graphkit.datasets.store import Dataset
from graphkit.edge_weights.ridge import SharedUsers, across, count_shared, ridge_weights, strongest_edges
from graphkit.edge_weights.scorer import EdgeScorer
from graphkit.evaluation.groups import COLD, WARM, final_parts, tasks_of
from graphkit.evaluation.peers.peer import Peer, Setting
from graphkit.evaluation.peers.train_data import TrainData, read_train
from graphkit.evaluation.peers.trials import Trials
from graphkit.evaluation.peers.winners import choose
from graphkit.evaluation.validation import how_cut, sampled, validation_parts
from graphkit.graph.memory import parse_memory
from graphkit.parallel import thread_count

EDGES_FILE: Final = "edges.safetensors"
ABOUT_FILE: Final = "edges.json"


def weigh_edges(workspace: Workspace, config: Config) -> Batch:
    """Learn the weights of the strongest co-listening edges between items (stage ``edges``).

    Per target type and for warm and for cold users, the strength of the regularisation is the one of ``edges.l2``
    that ranks held-out train rows best; then all of train is fitted. Test rows are not read.
    """
    upstream = workspace.upstream("edges")
    spec = StageSpec.of("edges", config, upstream.values())
    if (done := workspace.finished(spec)) is not None:
        return done
    dataset, seed, settings = Dataset.open(upstream["dataset"]), config.run.seed, config.edges
    model = _Edges(settings)
    with workspace.begin(spec) as work:
        threads, parts = thread_count(config.run.threads), validation_parts(dataset, seed)
        tasks = {
            name: sampled(task, settings.max_validation_users, seed)
            for name, task in tasks_of(dataset.meta, parts).items()
        }
        trials = Trials(read_train(dataset, parts), tasks, work.checkpoint_dir, seed, threads)
        scores, _ = trials.run(model, 0)
        winners = choose(scores, dataset.meta.targets, {"l2": settings.l2[0]})
        train = read_train(dataset, final_parts(dataset))
        weights = {
            (target, group): model.weights(train, [won["setting"]["l2"]], group, seed, threads, (target,))[0][target]
            for target, groups in winners.items()
            for group, won in groups.items()
        }
        _save(work.path(EDGES_FILE), weights)
        about = {
            "validation": how_cut(dataset, parts, tasks),
            "winners": winners,
        }
        work.path(ABOUT_FILE).write_text(json.dumps(about, indent=1), encoding="utf-8")
        work.row_counts = {f"{target}/{group}": int(matrix.nnz) for (target, group), matrix in weights.items()}
        work.metrics["share_of_users_counted"] = round(model.graph(train, seed, threads)[1].counted, 4)
        work.data_window = dict(dataset.batch.manifest.data_window)
        return work.commit()


class _Edges(Peer):
    """The edges under every regularisation, for the trials of the tuned peers."""

    name: ClassVar = "edges"
    what: ClassVar = "learned weights of the strongest co-listening edges"
    settings: ClassVar[tuple[Setting, ...]] = ({},)

    def __init__(self, settings: EdgesSection) -> None:
        self._l2, self._neighbours = settings.l2, settings.neighbours
        self._memory = parse_memory(settings.memory, "edges.memory")
        self._known: tuple[TrainData, dict[str, Any], SharedUsers] | None = None

    def fit(self, train: TrainData, setting: Setting, seed: int, threads: int) -> EdgeScorer:
        return next(self._scorers(train, [setting["l2"]], seed, threads))

    def path(
        self, train: TrainData, setting: Setting, seed: int, threads: int
    ) -> Iterator[tuple[Setting, EdgeScorer]]:
        for l2, scorer in zip(self._l2, self._scorers(train, self._l2, seed, threads), strict=True):
            yield {"l2": l2}, scorer

    def _scorers(self, train: TrainData, l2s: Sequence[float], seed: int, threads: int) -> Iterator[EdgeScorer]:
        fits = {group: self.weights(train, l2s, group, seed, threads) for group in (WARM, COLD)}
        for number in range(len(l2s)):
            weights = {(t, group): found[number][t] for group, found in fits.items() for t in train.targets}
            yield EdgeScorer(train.all_likes, train.columns, weights)

    def weights(
        self, train: TrainData, l2s: Sequence[float], group: str, seed: int, threads: int, targets: Sequence[str] = ()
    ) -> list[dict[str, Any]]:
        """Per regularisation and target type (none named: all); the cold ones know no edge within a type."""
        every, shared = self.graph(train, seed, threads)
        edges = {target: every[target] for target in targets or train.targets}
        if group == COLD:
            edges = across(edges, train.columns)
        return ridge_weights(shared, edges, train.columns, l2s, threads)

    def graph(self, train: TrainData, seed: int, threads: int) -> tuple[dict[str, Any], SharedUsers]:
        """The strongest edges, and the users that items share; kept for the train that was asked for last."""
        if self._known is None or self._known[0] is not train:
            edges = strongest_edges(train, self._neighbours, threads)
            self._known = train, edges, count_shared(train, self._memory, seed)
        return self._known[1:]


def _save(path: Path, weights: dict[tuple[str, str], Any]) -> None:
    tensors: dict[str, Any] = {}
    for (target, group), matrix in weights.items():
        name = f"{target}/{group}"
        tensors |= {
            f"{name}/indptr": matrix.indptr.astype(np.int64),
            f"{name}/indices": matrix.indices.astype(np.int32),
        }
        tensors[f"{name}/weights"] = matrix.data.astype(np.float32)
    save_file(tensors, path)


def read_edges(batch: Batch, dataset: Dataset) -> EdgeScorer:
    """The weights of a batch with the users' strong train items, ready to score."""
    train, tensors = read_train(dataset, final_parts(dataset)), load_file(batch.path(EDGES_FILE))
    num_items = train.all_likes.shape[1]
    weights = {}
    for target in dataset.meta.targets:
        for group in (WARM, COLD):
            values, indices, indptr = (
                tensors[f"{target}/{group}/{part}"] for part in ("weights", "indices", "indptr")
            )
            shape = (num_items, dataset.meta.num_items[target])
            weights[target, group] = sparse.csr_array((values, indices, indptr), shape=shape)
    return EdgeScorer(train.all_likes, train.columns, weights)
