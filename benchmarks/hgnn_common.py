"""What the HGNN benchmarks share: the graph and its held-out links, trainings under watch, and what is read off them.

Seconds of training leave validation out, for every contestant alike. A pair is an anchor with its
positive: graphkit trains a link from both ends, which makes two pairs of it.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy import sparse

from graphkit.artefacts import Workspace
from graphkit.config.hgnn import HgnnSection
from graphkit.evaluation.bootstrap import interval, resampled_means
from graphkit.graph.store import FIT, Relation, read_graph
from graphkit.hgnn.fit import Fit
from graphkit.hgnn.graph_tensors import GraphTensors, to_tensors
from graphkit.hgnn.infer import embed_graph
from graphkit.hgnn.links import Links, LinkSets, find_links, without
from graphkit.hgnn.neighbours import choose_neighbours, load_pooling
from graphkit.hgnn.validation import hold_out, link_mrr
from graphkit.training.device import choose_device, generator, prepare
from graphkit.training.state import TrainingState

CORES, RESAMPLES = 2, 1000
NEVER = float("inf")
_ANCHORS_AT_ONCE = 1024


class Check(NamedTuple):
    """One look at a model in training."""

    seconds: float  # of training up to here
    pairs: int  # trained on up to here
    mrr: float  # mean over relations


@dataclass(frozen=True)
class Run:
    """What became of a training, and why it ended: ``patience``, ``epochs`` or ``budget``."""

    checks: list[Check]
    stopped: str

    @property
    def best(self) -> float:
        return max(check.mrr for check in self.checks)

    @property
    def pairs_per_second(self) -> int:
        return round(self.checks[-1].pairs / self.checks[-1].seconds)

    def seconds_to(self, mrr: float) -> float:
        """Seconds of training to the first check that reaches ``mrr``; infinite if none does."""
        return next((check.seconds for check in self.checks if check.mrr >= mrr), NEVER)


@dataclass(frozen=True)
class FitRun(Run):
    """A training by graphkit: its state, with the best epoch's weights, and all its wall seconds."""

    state: TrainingState
    wall_seconds: float


@dataclass(frozen=True)
class Task:
    """A graph, links held out of it, and the graph without them: the same for every contestant of a seed."""

    graph: GraphTensors
    train: GraphTensors
    held: LinkSets

    @classmethod
    def of(cls, graph: GraphTensors, settings: HgnnSection, seed: int) -> Task:
        """The links that ``Fit`` holds out under the same settings and seed."""
        draw = generator(graph.device, seed, "validation")
        held = hold_out(find_links(graph), settings.validation_share, settings.max_validation_edges, draw)
        return cls(graph, without(graph, held), held)

    def mrr(self, embeddings: dict[str, torch.Tensor]) -> float:
        """Validation MRR of exact embeddings of ``train``, every relation counting the same."""
        found = link_mrr(embeddings, self.train, self.held)
        return sum(found.values()) / len(found)


# --- the graph -----------------------------------------------------------------------------------------------


def use_two_cores() -> None:
    """Keep this process, and those it starts, on two cores."""
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])
    os.environ["OMP_NUM_THREADS"] = str(CORES)


def current_graph(workspace: Path, device: str = "cpu") -> GraphTensors:
    """The snapshot that a workspace's HGNN is trained on."""
    return to_tensors(read_graph(Workspace(workspace).current("graph"), FIT), choose_device(device))


def back_end(settings: HgnnSection, device: str = "cpu") -> Any:
    """The pooling function that ``train-hgnn`` would take, and its threads and repeatable kernels."""
    prepare(choose_device(device), 0)
    return load_pooling(choose_neighbours(settings.neighbours, device).name)


# --- training under watch ------------------------------------------------------------------------------------


class _TimeIsUpError(Exception):
    def __init__(self, state: TrainingState) -> None:
        super().__init__()
        self.state = state


def fit(
    graph: GraphTensors,
    settings: HgnnSection,
    seed: int,
    pooling: Any,
    training_limit: float = NEVER,
    wall_limit: float = NEVER,
) -> FitRun:
    """``Fit`` as ``train-hgnn`` runs it, ended after the first epoch past a limit in seconds."""
    checks: list[Check] = []
    began = time.perf_counter()

    def look(state: TrainingState) -> None:
        mrr = state.epochs[-1]["val_mrr"]
        checks.append(Check(state.seconds, 2 * state.examples, float("nan") if mrr is None else mrr))
        if state.seconds >= training_limit or time.perf_counter() - began >= wall_limit:
            raise _TimeIsUpError(state)

    with tempfile.TemporaryDirectory() as folder, _after_each_epoch(look):
        try:
            state = Fit(graph, settings, seed, pooling, Path(folder)).run()
            stopped = "epochs" if len(state.epochs) == settings.epochs else "patience"
        except _TimeIsUpError as late:
            state, stopped = late.state, "budget"
            state.model.load_state_dict(state.best)
    if len(checks) != len(state.epochs):
        raise SystemExit(f"{len(state.epochs)} epochs were trained and {len(checks)} seen: see _after_each_epoch")
    return FitRun(checks, stopped, state, time.perf_counter() - began)


@contextmanager
def _after_each_epoch(look: Callable[[TrainingState], None]) -> Iterator[None]:
    """``Fit`` adds every epoch's record to its state; ``look`` sees the state then."""
    add = TrainingState.add

    def add_and_look(state: TrainingState, *args: Any, **named: Any) -> None:
        add(state, *args, **named)
        look(state)

    TrainingState.add = add_and_look
    try:
        yield
    finally:
        TrainingState.add = add


def warm_up(graph: GraphTensors, settings: HgnnSection, pooling: Any) -> None:
    """Train a few links, so that what happens once in a process is not counted in the first run's time."""
    few = {"epochs": 1, "min_edges_per_relation": 16, "max_edges_per_relation": 16, "batch_size": 64}
    fit(graph, settings.model_copy(update=few), 0, pooling)


def same_links(task: Task, run: FitRun, pooling: Any) -> None:
    """Make sure that ``Fit`` held out the links of ``task``: its best MRR is that of its model on them."""
    again = task.mrr(embed_graph(run.state.model, task.train, pooling))
    if abs(again - run.best) > 1e-3 * run.best:
        raise SystemExit(f"Fit held out other links than the task: MRR {run.best:.5f} there, {again:.5f} here")


class Rules(NamedTuple):
    """When a contestant other than graphkit is looked at, and when it ends."""

    budget: float  # seconds of training
    check_seconds: float  # of training between two looks
    patience_pairs: float  # trained on without a better MRR


def race(steps: Iterator[int], score: Callable[[], float], rules: Rules) -> Run:
    """Take ``steps`` (each yields the pairs it trained on) until the rules say stop; ``score`` is the MRR now."""
    next(steps)  # not counted, as warm_up is not
    checks: list[Check] = []
    seconds, pairs, due, best, best_pairs = 0.0, 0, rules.check_seconds, -1.0, 0
    while True:
        started = time.perf_counter()
        pairs += next(steps)
        seconds += time.perf_counter() - started
        if seconds < min(due, rules.budget):
            continue
        checks.append(Check(seconds, pairs, score()))
        due = seconds + rules.check_seconds
        if checks[-1].mrr > best:
            best, best_pairs = checks[-1].mrr, pairs
        if seconds >= rules.budget:
            return Run(checks, "budget")
        if pairs - best_pairs >= rules.patience_pairs:
            return Run(checks, "patience")


# --- reading off ---------------------------------------------------------------------------------------------


def link_hits(
    embeddings: dict[str, torch.Tensor], graph: GraphTensors, relation: Relation, links: Links, length: int = 10
) -> np.ndarray:
    """Of each held-out link of a same-type relation, at how many of its ends the other one is among the first
    ``length`` of the type (0, 1/2 or 1): float64 [num_links].

    The anchor and what an edge in ``graph`` joins to it are not ranked; of equal scores a link gets the middle rank.
    """
    z, known = embeddings[relation.src].cpu().numpy(), joined(graph, relation.src)
    src, dst = links.src.cpu().numpy(), links.dst.cpu().numpy()
    hits = [link_ranks(z, known, *pair) <= length for pair in ((src, dst), (dst, src))]
    return np.mean(hits, axis=0)


def joined(graph: GraphTensors, node_type: str) -> Any:
    """Which nodes of a type an edge of any kind, either way, joins: sparse, symmetric, with the diagonal."""
    num_nodes = graph.num_nodes[node_type]
    found = sparse.eye_array(num_nodes, format="csr", dtype=np.float32)
    for relation, edges in graph.relations.items():
        if relation.src == relation.dst == node_type:
            indices, indptr = edges.indices.cpu().numpy(), edges.indptr.cpu().numpy()
            found = found + sparse.csr_array((np.ones(len(indices), np.float32), indices, indptr), shape=found.shape)
    return sparse.csr_array(found + found.T)


def link_ranks(z: np.ndarray, known: Any, anchors: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """The rank of each of ``targets`` [n] for its anchor among all nodes but the ``known`` ones: float64 [n]."""
    parts = [np.zeros(0)]
    for start in range(0, len(anchors), _ANCHORS_AT_ONCE):
        anchor, target = (ends[start : start + _ANCHORS_AT_ONCE] for ends in (anchors, targets))
        scores = z[anchor] @ z.T  # [n, num_nodes]
        true = np.take_along_axis(scores, target[:, None], axis=1)
        scores[known[anchor].nonzero()] = -np.inf
        parts.append(1 + (scores > true).sum(axis=1) + ((scores == true).sum(axis=1) - 1) / 2)
    return np.concatenate(parts)


def drawn_means(sums: np.ndarray, counts: np.ndarray | None = None, seed: int = 0) -> np.ndarray:
    """Bootstrap means of columns that share their resamples: float64 [RESAMPLES, k]."""
    counts = np.ones(len(sums)) if counts is None else counts
    return resampled_means(sums, counts.astype(np.float64), RESAMPLES, np.random.default_rng(seed))


def ends(draws: np.ndarray) -> str:
    """The 95 % interval of one figure's bootstrap ``draws``, to be read; none where a draw is no number."""
    if not np.isfinite(draws).all():
        return "no interval"
    low, high = interval(draws[:, None])
    return f"{low[0]:.4f} to {high[0]:.4f}"


def median(values: Sequence[float]) -> float:
    """The middle one; one that was never reached is infinite."""
    return float(np.median(values))


def shown(seconds: float) -> float | str:
    """Rounded for a table; ``never`` where it is infinite (JSON has no infinity)."""
    return "never" if np.isinf(seconds) else round(float(seconds), 2)
