"""The training loop: epochs, validation, early stopping."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from graphkit.config.sections import HgnnSection
from graphkit.errors import DataError, GraphkitError
from graphkit.hgnn.device import generator
from graphkit.hgnn.graph_tensors import GraphTensors
from graphkit.hgnn.infer import embed_graph
from graphkit.hgnn.links import LinkSets, find_links, without
from graphkit.hgnn.model import HeteroSage, ModelShape
from graphkit.hgnn.neighbours import MaxPool
from graphkit.hgnn.objective import Objective
from graphkit.hgnn.sampler import batches, draw_counts, draw_epoch
from graphkit.hgnn.state import TrainingState
from graphkit.hgnn.validation import hold_out, link_mrr
from graphkit.progress import track


@dataclass(frozen=True)
class Fit:
    """One training run on a snapshot of the graph."""

    graph: GraphTensors
    config: HgnnSection
    seed: int
    max_pool: MaxPool
    checkpoint_dir: Path

    def run(self) -> TrainingState:
        """Train until ``epochs``, or until ``patience`` epochs brought nothing better; the best model is loaded.

        Continues after the last whole checkpoint, to the same result as an unbroken run. Raises DataError
        for a graph without edges and GraphkitError for a loss that is no number.
        """
        links, held, train_graph = self._split()
        objective = Objective(train_graph, self.max_pool, self.config)
        state = self._start()
        for epoch in self._epochs(state):
            loss, drawn = self._epoch(epoch, objective, links, state)
            mrr = link_mrr(embed_graph(state.model, train_graph, self.max_pool), train_graph, held)
            state.add(_record(epoch, loss, mrr, drawn))
            state.save(self.checkpoint_dir)
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

    def _start(self) -> TrainingState:
        """A new model, or where a checkpoint left off."""
        hidden = (self.config.hidden_dim,) * (len(self.config.fan_outs) - 1)
        shape = ModelShape(
            types=self.graph.types,
            relations=tuple(self.graph.relations),
            dims=(self.graph.feature_dim, *hidden, self.config.out_dim),
            final_activation=self.config.final_activation,
            shared_weights=self.config.shared_weights,
        )
        # Drawn on the CPU, so that a run on a GPU starts from the same weights.
        model = HeteroSage(shape, generator(torch.device("cpu"), self.seed, "weights")).to(self.graph.device)
        state = TrainingState(model, torch.optim.Adam(model.parameters(), lr=self.config.learning_rate))
        state.load(self.checkpoint_dir)
        return state

    def _epochs(self, state: TrainingState) -> Iterator[int]:
        def due() -> Iterator[int]:
            for epoch in range(len(state.epochs) + 1, self.config.epochs + 1):
                if epoch - 1 - state.best_epoch >= self.config.patience:
                    return
                yield epoch

        return track(due(), "training the HGNN", self.config.epochs - len(state.epochs))

    def _epoch(
        self, epoch: int, objective: Objective, links: LinkSets, state: TrainingState
    ) -> tuple[float, dict[str, int]]:
        """The mean loss over the epoch's links, and how many there were per relation."""
        started = time.perf_counter()
        draw = generator(self.graph.device, self.seed, "epoch", epoch)
        available = {relation: len(of_it) for relation, of_it in links.items()}
        drawn = draw_epoch(links, draw_counts(available, self.config), draw)
        total, count = 0.0, 0
        for number, batch in enumerate(batches(drawn, available, self.config.batch_size), start=1):
            state.optimiser.zero_grad()
            loss = objective.loss(state.model, batch, draw)
            if not math.isfinite(value := loss.item()):
                raise self._not_finite(epoch, number, value)
            loss.backward()  # type: ignore[no-untyped-call]
            state.optimiser.step()
            size = sum(map(len, batch.values()))
            total, count = total + value * size, count + size
        state.links += count
        state.seconds += time.perf_counter() - started
        return total / count, {relation.name: len(of_it) for relation, of_it in drawn.items()}

    def _not_finite(self, epoch: int, batch: int, value: float) -> GraphkitError:
        return GraphkitError(
            f"the training loss became {value} in epoch {epoch}, batch {batch}",
            found=f"the state after epoch {epoch - 1} is kept in {self.checkpoint_dir}",
            fix="lower hgnn.learning_rate, or look for extreme values in the graph's text vectors",
        )


def _record(epoch: int, loss: float, mrr: dict[str, float], drawn: dict[str, int]) -> dict[str, Any]:
    # Every relation counts the same, or the dense ones would decide (the reason for balanced draws).
    mean = sum(mrr.values()) / len(mrr) if mrr else None
    return {"epoch": epoch, "loss": loss, "val_mrr": mean, "val_mrr_by_relation": mrr, "edges": drawn}
