"""The stock DGL recipe for link prediction, as ``hgnn_peers.py`` races it.

NeighborSampler with fan-outs 15 and 10 under ``as_edge_prediction_sampler``, a DataLoader over all edges uniformly,
HeteroGraphConv of SAGEConv('pool') in two layers, Adam. What is not stock helps it: outputs of unit length, and a
callable that takes a batch's edges out of message passing (``exclude="reverse_types"`` leaves same-type ones in).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from hgnn_common import Task
from torch import Tensor, nn

from graphkit.graph.store import Relation
from graphkit.hgnn.graph_tensors import GraphTensors
from graphkit.hgnn.neighbours_dgl import dgl

FAN_OUTS = (15, 10)
WIDTH, MARGIN, TEMPERATURE, NEGATIVES = 128, 0.3, 0.1, 5
Embeddings = dict[str, Tensor]


def start(task: Task, setting: dict[str, Any], seed: int) -> tuple[Iterator[int], Callable[[], Embeddings]]:
    """Training steps, and exact embeddings of the training graph now.

    ``setting``: ``loss`` (margin or softmax), ``learning_rate``, ``batch_size``.
    """
    torch.manual_seed(seed)
    dgl.seed(seed)
    graph = dgl_graph(task.train)
    model = Sage(graph, task.train.feature_dim)
    steps = training_steps(graph, model, task.train, setting)
    return steps, lambda: embed(graph, model, task.train.features)


class Sage(nn.Module):
    """Two layers of one SAGEConv a relation, summed; text vectors in, unit vectors out."""

    def __init__(self, graph: Any, in_dim: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            dgl.nn.HeteroGraphConv({name: dgl.nn.SAGEConv(width, WIDTH, "pool") for name in graph.etypes})
            for width in (in_dim, WIDTH)
        )

    def forward(self, graphs: list[Any], h: Embeddings) -> Embeddings:
        first, last = self.layers
        h = {t: F.relu(rows) for t, rows in first(graphs[0], h).items()}
        return {t: F.normalize(rows) for t, rows in last(graphs[1], h).items()}


def dgl_graph(graph: GraphTensors) -> Any:
    """The same edges in DGL, numbered as in ``graph``."""
    names = dgl_names(graph)
    ends = {names[r]: (edges.indices.long(), edges.destinations()) for r, edges in graph.relations.items()}
    return dgl.heterograph(ends, graph.num_nodes)


def dgl_names(graph: GraphTensors) -> dict[Relation, tuple[str, str, str]]:
    """The canonical edge type of each relation (DGL lists them in an order of its own)."""
    return {r: (r.src, f"r{number}", r.dst) for number, r in enumerate(graph.relations)}


def training_steps(graph: Any, model: Sage, tensors: GraphTensors, setting: dict[str, Any]) -> Iterator[int]:
    """Yield the edges each step trained on, epoch after epoch."""
    optimiser = torch.optim.Adam(model.parameters(), lr=setting["learning_rate"])
    loader = make_loader(graph, tensors, setting)
    while True:
        for inputs, positives, *negatives, blocks in loader:
            h = {t: tensors.features[t][nodes] for t, nodes in inputs.items()}
            z = model(blocks, h)
            terms = margin_terms(z, positives, negatives[0]) if negatives else softmax_terms(z, positives)
            optimiser.zero_grad()
            torch.cat(terms).mean().backward()
            optimiser.step()
            yield positives.num_edges()


def make_loader(graph: Any, tensors: GraphTensors, setting: dict[str, Any]) -> Any:
    """Batches over all edges. Sampling is under a tenth of a step's time, so a worker on one of two cores, with the
    loader's affinity set, was seen to gain nothing."""
    uniform = dgl.dataloading.negative_sampler.Uniform(NEGATIVES) if setting["loss"] == "margin" else None
    sampler = dgl.dataloading.as_edge_prediction_sampler(
        dgl.dataloading.NeighborSampler(list(FAN_OUTS)), exclude=Excluded(tensors), negative_sampler=uniform
    )
    edges = {etype: graph.edges("eid", etype=etype) for etype in graph.canonical_etypes if graph.num_edges(etype)}
    return dgl.dataloading.DataLoader(graph, edges, sampler, batch_size=setting["batch_size"], shuffle=True)


class Excluded:
    """Every edge, of any kind and direction, between the ends of the edges of a batch."""

    def __init__(self, graph: GraphTensors) -> None:
        names = dgl_names(graph)
        self.twins = {
            names[r]: [(names[other], edges_between(graph, r, other)) for other in twins(graph, r)]
            for r in graph.relations
        }

    def __call__(self, batch: dict[Any, Tensor]) -> dict[Any, Tensor]:
        found: dict[Any, list[Tensor]] = {etype: [ids] for etype, ids in batch.items()}
        for etype, ids in batch.items():
            for other, positions in self.twins[etype]:
                there = positions[ids]
                found.setdefault(other, []).append(there[there >= 0])
        return {etype: torch.unique(torch.cat(ids)) for etype, ids in found.items()}


def twins(graph: GraphTensors, relation: Relation) -> list[Relation]:
    """The directed relations whose edges join the ends of ``relation``'s, either way; itself too if same-type."""
    ends = (relation.src, relation.dst), (relation.dst, relation.src)
    return [r for r in graph.relations if (r.src, r.dst) in ends and (r != relation or r.same_type)]


def edges_between(graph: GraphTensors, relation: Relation, other: Relation) -> Tensor:
    """Where the edge of ``other`` between the ends of each of ``relation``'s edges stands; -1 without: int64 [n].

    Of a relation with itself, the reverse edge.
    """
    src, dst = graph.relations[relation].indices.long(), graph.relations[relation].destinations()
    if (other.src, other.dst) != (relation.src, relation.dst) or other == relation:
        src, dst = dst, src
    width = graph.num_nodes[other.src]
    there = graph.relations[other]
    keys, wanted = there.destinations() * width + there.indices, dst * width + src
    if not len(keys):
        return torch.full_like(wanted, -1)
    position = torch.searchsorted(keys, wanted).clamp_max(len(keys) - 1)
    return torch.where(keys[position] == wanted, position, -1)


def margin_terms(z: Embeddings, positives: Any, negatives: Any) -> list[Tensor]:
    """Hinge of each positive edge against its own uniform negatives, which follow one another."""
    terms = []
    for etype in positives.canonical_etypes:
        if positives.num_edges(etype):
            there, against = dots(z, positives, etype), dots(z, negatives, etype)
            terms.append(F.relu(against.view(len(there), -1) - there[:, None] + MARGIN).mean(dim=1))
    return terms


def dots(z: Embeddings, graph: Any, etype: Any) -> Tensor:
    src, dst = graph.edges(etype=etype)
    return (z[etype[0]][src] * z[etype[2]][dst]).sum(dim=1)


def softmax_terms(z: Embeddings, positives: Any) -> list[Tensor]:
    """Each edge's destination against all destinations of its type in the batch."""
    ends = {etype: positives.edges(etype=etype) for etype in positives.canonical_etypes}
    pools: dict[str, list[Tensor]] = {}
    for (_, _, dst_type), (_, dst) in ends.items():
        pools.setdefault(dst_type, []).append(dst)
    pool = {t: torch.unique(torch.cat(nodes)) for t, nodes in pools.items()}
    terms = []
    for (src_type, _, dst_type), (src, dst) in ends.items():
        if len(src):
            scores = z[src_type][src] @ z[dst_type][pool[dst_type]].T / TEMPERATURE  # [n, pool size]
            target = torch.searchsorted(pool[dst_type], dst)
            terms.append(F.cross_entropy(scores, target, reduction="none"))
    return terms


@torch.no_grad()
def embed(graph: Any, model: Sage, features: Embeddings) -> Embeddings:
    """All nodes over all neighbours, one pass a layer."""
    return model([graph, graph], features)
