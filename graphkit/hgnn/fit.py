"""The training loop: epochs, validation, early stopping, checkpoints."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor

from graphkit.config.hgnn import HgnnSection
from graphkit.errors import DataError
from graphkit.graph.store import Relation
from graphkit.hgnn.graph_tensors import GraphTensors
from graphkit.hgnn.infer import embed_graph
from graphkit.hgnn.links import LinkSets, find_links, without
from graphkit.hgnn.model import HeteroSage, ModelShape
from graphkit.hgnn.negatives import link_frequency
from graphkit.hgnn.neighbours import Pooling
from graphkit.hgnn.objective import Objective
from graphkit.hgnn.sampler import batches, coverage, draw_counts, draw_epoch, num_batches
from graphkit.hgnn.schedule import learning_rate
from graphkit.hgnn.step import Step, make_optimiser
from graphkit.hgnn.validation import hold_out, link_mrr
from graphkit.progress import track
from graphkit.training.device import generator
from graphkit.training.distributed import ALONE, Team
from graphkit.training.state import TrainingState

#: An epoch that takes longer is kept in between, so that a kill costs no more than this.
CHECKPOINT_SECONDS: Final = 120.0


@dataclass(frozen=True)
class Fit:
    """One training run on a snapshot of the graph."""

    graph: GraphTensors
    config: HgnnSection
    seed: int
    pooling: Pooling
    checkpoint_dir: Path
    team: Team = ALONE

    def run(self) -> TrainingState[HeteroSage]:
        """Train until ``epochs``, or until ``patience`` epochs brought nothing better; the best model is loaded.

        Continues after the last whole checkpoint, to the same result as an unbroken run. Raises DataError
        for a graph without edges, ConfigError for a reference relation that is not there and GraphkitError for
        a loss or a gradient that is no number, and where another process of the team fails.
        """
        links, held, train_graph = self._split()
        plan = Plan.of(links, self.config)
        frequency = link_frequency(train_graph.num_nodes, links, plan.counts)
        state = self._start({t: often > 0 for t, often in frequency.items()})
        self.team.agree("graph, settings and weights", _fingerprint(state, plan))
        objective = Objective(train_graph, self.pooling, self.config, frequency, plan.batches)
        step = Step(objective, state.model, state.optimiser, self.checkpoint_dir, self.team)
        for epoch in self._epochs(state):
            self._epoch(epoch, plan, step, state)
            mrr = self.team.share(partial(self._validate, state.model, train_graph, held))
            state.add(_record(epoch, plan, state, mrr))
            self._save(state)
        state.model.load_state_dict(state.best)
        return state

    def _split(self) -> tuple[LinkSets, LinkSets, GraphTensors]:
        """Links to train on, held-out links, and the graph without the latter."""
        links = find_links(self.graph)
        if not any(map(len, links.values())):
            raise DataError(
                "the co-listening graph has no edges to learn from",
                expected="two items that one user shares",
                fix="check window_days, min_support and exclude_relations of [graph], or bring more interactions",
            )
        draw = generator(self.graph.device, self.seed, "validation")
        held = hold_out(links, self.config.validation_share, self.config.max_validation_edges, draw)
        train_graph = without(self.graph, held)
        return find_links(train_graph), held, train_graph

    def _start(self, linked: dict[str, Tensor]) -> TrainingState[HeteroSage]:
        """A new model, or where a checkpoint left off; ``linked`` says which nodes have a link to train on."""
        shape = model_shape(self.graph, self.config)
        # Drawn on the CPU, so that a run on a GPU starts from the same weights.
        model = HeteroSage(shape, generator(torch.device("cpu"), self.seed, "weights")).to(self.graph.device)
        model.ids.know(linked)
        state = TrainingState(model, make_optimiser(model, self.config), _score)
        state.load(self.checkpoint_dir)
        return state

    def _epochs(self, state: TrainingState[HeteroSage]) -> Iterator[int]:
        def due() -> Iterator[int]:
            for epoch in range(len(state.epochs) + 1, self.config.epochs + 1):
                if epoch - 1 - state.best_epoch >= self.config.patience:
                    return
                yield epoch

        return track(due(), "training the HGNN", self.config.epochs - len(state.epochs))

    def _epoch(self, epoch: int, plan: Plan, step: Step, state: TrainingState[HeteroSage]) -> None:
        """Train on the epoch's links, but for the batches that are done already."""
        started, done = time.perf_counter(), state.running
        drawn = draw_epoch(plan.links, plan.counts, self.seed, epoch)
        cut = batches(drawn, plan.available, self.config.batch_size)
        for batch in itertools.islice(cut, done.batches, None):
            number = done.batches + 1
            draw = generator(self.graph.device, self.seed, "batch", epoch, number)
            loss, norm = step.take(batch, draw, plan.learning_rate(epoch, number), epoch, number)
            done.add(size := sum(map(len, batch.values())), loss, norm)
            state.examples += size
            if time.perf_counter() - state.saved_at > CHECKPOINT_SECONDS:
                self._save(state)
        state.seconds += time.perf_counter() - started

    def _validate(self, model: HeteroSage, graph: GraphTensors, held: LinkSets) -> dict[str, float]:
        return link_mrr(embed_graph(model, graph, self.pooling), graph, held)

    def _save(self, state: TrainingState[HeteroSage]) -> None:
        if self.team.leads:
            state.save(self.checkpoint_dir)


def model_shape(graph: GraphTensors, config: HgnnSection) -> ModelShape:
    """What the settings say of a model for ``graph``."""
    hidden = (config.hidden_dim,) * (len(config.fan_outs) - 1)
    return ModelShape(
        types=graph.types,
        relations=tuple(graph.relations),
        dims=(graph.feature_dim, *hidden, config.out_dim),
        final_activation=config.final_activation,
        shared_weights=config.shared_weights,
        aggregator=config.aggregator,
        edge_weights=config.edge_weights,
        projection=config.projection,
        residual=config.residual,
        relation_weights=config.relation_weights,
        jumping=config.jumping,
        num_ids=graph.num_nodes if config.id_embeddings else {},
    )


@dataclass(frozen=True)
class Plan:
    """What every epoch of a run trains on."""

    config: HgnnSection
    links: LinkSets
    available: dict[Relation, int]
    counts: dict[Relation, int]  # drawn an epoch
    batches: int  # an epoch

    @classmethod
    def of(cls, links: LinkSets, config: HgnnSection) -> Plan:
        available = {relation: len(of_it) for relation, of_it in links.items()}
        counts = draw_counts(available, config)
        return cls(config, links, available, counts, num_batches(counts, available, config.batch_size))

    def learning_rate(self, epoch: int, batch: int) -> float:
        """The rate for ``batch`` of ``epoch``, both counted from 1."""
        return learning_rate(self.config, (epoch - 1) * self.batches + batch, self.config.epochs * self.batches)


def _record(epoch: int, plan: Plan, state: TrainingState[HeteroSage], mrr: dict[str, float]) -> dict[str, Any]:
    # Every relation counts the same, or the dense ones would decide (the reason for balanced draws).
    mean = sum(mrr.values()) / len(mrr) if mrr else None
    seen = coverage(plan.counts, plan.available, epoch)
    return {
        "epoch": epoch,
        "loss": state.running.loss / state.running.examples,
        "val_mrr": mean,
        "val_mrr_by_relation": mrr,
        "edges": {relation.name: count for relation, count in plan.counts.items()},
        "coverage": {relation.name: share for relation, share in seen.items()},
        "learning_rate": plan.learning_rate(epoch, plan.batches),  # of the last step
        "grad_norm": state.running.grad_norm,
    }


def _score(record: dict[str, Any]) -> float:
    """Validation MRR, or where nothing was held out the loss, so that more is better."""
    return float(-record["loss"] if record["val_mrr"] is None else record["val_mrr"])


def _fingerprint(state: TrainingState[HeteroSage], plan: Plan) -> bytes:
    """What processes that train together must have in common before they start."""
    weights = [tensor.detach().cpu().numpy().tobytes() for tensor in state.model.state_dict().values()]
    device = next(state.model.parameters()).device.type
    about = f"{device} {plan.config} {plan.available} {plan.counts} {state.epochs} {state.running}"
    return b"".join([*weights, about.encode()])
