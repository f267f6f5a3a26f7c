"""PyTorch Geometric's own SAGE layers, as ``hgnn_peers.py`` races them.

Its LinkNeighborLoader needs pyg-lib or torch-sparse, which have no wheels for every torch. The layers are therefore
fed by vectorised sampling in torch: fan-outs 15 and 10, a layer's nodes apart from the next one's (as its
``trim_to_layer`` does), batches over all edges uniformly. ``SAGEConv(aggr="max", project=True)`` is GraphSAGE-pool.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from hgnn_common import Task
from torch import Tensor, nn
from torch_geometric.nn import HeteroConv, SAGEConv

from graphkit.graph.store import Relation
from graphkit.hgnn.graph_tensors import GraphTensors
from graphkit.hgnn.links import LinkSets, exclusion, find_links

FAN_OUTS = (15, 10)
WIDTH, MARGIN, TEMPERATURE, NEGATIVES = 128, 0.3, 0.1, 5
Tensors = dict[str, Tensor]
#: Every type's source nodes, how many of them are destinations, and a sparse [num_dst, num_src] per relation.
Layer = tuple[Tensors, dict[str, int], dict[Relation, Tensor]]


def start(task: Task, setting: dict[str, Any], seed: int) -> tuple[Iterator[int], Callable[[], Tensors]]:
    """Training steps, and exact embeddings of the training graph now.

    ``setting``: ``loss`` (margin or softmax), ``learning_rate``, ``batch_size``.
    """
    torch.manual_seed(seed)
    model = Sage(task.train)
    return training_steps(model, task.train, setting), lambda: embed(model, task.train)


class Sage(nn.Module):
    """Two layers of one SAGEConv a relation, summed; text vectors in, unit vectors out."""

    def __init__(self, graph: GraphTensors) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            HeteroConv(
                {tuple(r): SAGEConv((width, width), WIDTH, aggr="max", project=True) for r in graph.relations},
                aggr="sum",
            )
            for width in (graph.feature_dim, WIDTH)
        )

    def forward(self, h: Tensors, layers: list[Layer]) -> Tensors:
        for number, (layer, (_, num_dst, edges)) in enumerate(zip(self.layers, layers, strict=True)):
            both = {tuple(r): (h[r.src], h[r.dst][: num_dst[r.dst]]) for r in edges}
            h = layer(both, {tuple(r): pair for r, pair in edges.items()})
            h = {t: F.normalize(rows) if number else F.relu(rows) for t, rows in h.items()}
        return h


def training_steps(model: Sage, graph: GraphTensors, setting: dict[str, Any]) -> Iterator[int]:
    """Yield the pairs each step trained on, epoch after epoch; a link is trained from both ends."""
    optimiser = torch.optim.Adam(model.parameters(), lr=setting["learning_rate"])
    links = find_links(graph)
    while True:
        for batch in shuffled(links, setting["batch_size"] // 2):
            pairs = {(r, way): (b.src, b.dst)[::way] for r, b in batch.items() for way in (1, -1)}
            terms = loss_terms(model, graph, batch, pairs, setting["loss"])
            optimiser.zero_grad()
            torch.cat(terms).mean().backward()
            optimiser.step()
            yield 2 * sum(map(len, batch.values()))


def shuffled(links: LinkSets, size: int) -> Iterator[LinkSets]:
    """All links in random order, ``size`` at a time."""
    relations = list(links)
    of = torch.cat([torch.full((len(links[r]),), i) for i, r in enumerate(relations)])
    place = torch.cat([torch.arange(len(links[r])) for r in relations])
    for chosen in torch.split(torch.randperm(len(of)), size):
        mine = [(r, place[chosen[of[chosen] == i]]) for i, r in enumerate(relations)]
        yield {r: links[r].take(places) for r, places in mine if len(places)}


def loss_terms(model: Sage, graph: GraphTensors, batch: LinkSets, pairs: dict[Any, Any], loss: str) -> list[Tensor]:
    """The loss of each pair of a batch, whose links message passing does not see."""
    ends = [(types(r, way), src, dst) for (r, way), (src, dst) in pairs.items()]
    drawn = [torch.randint(graph.num_nodes[t[1]], (len(dst), NEGATIVES)) for t, _, dst in ends]
    wanted: dict[str, list[Tensor]] = {t: [torch.zeros(0, dtype=torch.int64)] for t in graph.types}
    for ((src_type, dst_type), src, dst), negative in zip(ends, drawn, strict=True):
        wanted[src_type].append(src)
        wanted[dst_type] += [dst, negative.flatten()] if loss == "margin" else [dst]
    seeds = {t: torch.unique(torch.cat(nodes)) for t, nodes in wanted.items()}
    layers = sample_layers(graph, seeds, exclusion(graph, batch))
    z = model({t: graph.features[t][nodes] for t, nodes in layers[0][0].items()}, layers)
    row = {t: partial_search(nodes) for t, nodes in seeds.items()}
    if loss == "softmax":
        return softmax_terms(z, ends, row)
    return [
        margin_term(z[t[0]][row[t[0]](src)], z[t[1]][row[t[1]](dst)], z[t[1]][row[t[1]](negative)])
        for (t, src, dst), negative in zip(ends, drawn, strict=True)
    ]


def types(relation: Relation, way: int) -> tuple[str, str]:
    """Anchor type and positive type of a relation's links, forwards (1) or backwards (-1)."""
    return (relation.src, relation.dst)[::way]


def partial_search(nodes: Tensor) -> Callable[[Tensor], Tensor]:
    """Finds the rows of nodes among ``nodes``, which ascend."""
    return lambda wanted: torch.searchsorted(nodes, wanted)


def margin_term(anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Hinge of each pair against its own uniform negatives: [n] from [n, dim], [n, dim] and [n, k, dim]."""
    there = (anchor * positive).sum(dim=1, keepdim=True)
    against = (negative @ anchor[:, :, None])[:, :, 0]
    return F.relu(against - there + MARGIN).mean(dim=1)


def softmax_terms(z: Tensors, ends: list[Any], row: dict[str, Callable[[Tensor], Tensor]]) -> list[Tensor]:
    """Each pair's positive against all positives of its type in the batch."""
    pools: dict[str, list[Tensor]] = {}
    for (_, dst_type), _, dst in ends:
        pools.setdefault(dst_type, []).append(dst)
    pool = {t: torch.unique(torch.cat(nodes)) for t, nodes in pools.items()}
    terms = []
    for (src_type, dst_type), src, dst in ends:
        against = z[dst_type][row[dst_type](pool[dst_type])]
        scores = z[src_type][row[src_type](src)] @ against.T / TEMPERATURE  # [n, pool size]
        terms.append(F.cross_entropy(scores, torch.searchsorted(pool[dst_type], dst), reduction="none"))
    return terms


def sample_layers(graph: GraphTensors, seeds: Tensors, hidden: dict[Relation, Tensor]) -> list[Layer]:
    """Layers that compute ``seeds`` (distinct, by type), the first one first; ``hidden`` edges are left out."""
    layers: list[Layer] = []
    dst = seeds
    for fan_out in reversed(FAN_OUTS):
        drawn = {r: sample_edges(graph, r, dst[r.dst], fan_out, hidden.get(r)) for r in graph.relations}
        src = {t: sources(graph, t, dst[t], drawn) for t in graph.types}
        place = {t: numbered(nodes, graph.num_nodes[t]) for t, nodes in src.items()}
        edges = {
            r: adjacency(place[r.src][nodes], row, len(dst[r.dst]), len(src[r.src]))
            for r, (nodes, row) in drawn.items()
        }
        layers.insert(0, (src, {t: len(nodes) for t, nodes in dst.items()}, edges))
        dst = src
    return layers


def sample_edges(
    graph: GraphTensors, relation: Relation, dst: Tensor, fan_out: int, hidden: Tensor | None
) -> tuple[Tensor, Tensor]:
    """(source node, row of ``dst``) of at most ``fan_out`` in-edges a node: all of them, or draws with replacement
    (a repeat changes no maximum)."""
    edges = graph.relations[relation]
    start = edges.indptr[dst].long()
    degree = (edges.indptr[dst + 1] - start)[:, None]
    drawn = (torch.rand(len(dst), fan_out) * degree).long()
    offset = torch.where(degree > fan_out, drawn, torch.arange(fan_out))
    row, column = torch.nonzero(torch.arange(fan_out) < degree, as_tuple=True)
    position = start[row] + offset[row, column]
    if hidden is not None:
        seen = ~hidden[position]
        row, position = row[seen], position[seen]
    return edges.indices[position].long(), row


def adjacency(src: Tensor, dst: Tensor, num_dst: int, num_src: int) -> Tensor:
    """Edges by destination, which must ascend, as sparse [num_dst, num_src]: PyG pools it twice as fast as pairs."""
    indptr = torch.zeros(num_dst + 1, dtype=torch.int64)
    indptr[1:] = torch.bincount(dst, minlength=num_dst).cumsum(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that sparse tensors are new to torch
        return torch.sparse_csr_tensor(indptr, src, torch.ones(len(src)), size=(num_dst, num_src))


def sources(graph: GraphTensors, node_type: str, dst: Tensor, drawn: dict[Relation, Any]) -> Tensor:
    """``dst`` first, then the other nodes of the type that an edge comes from."""
    touched = torch.zeros(graph.num_nodes[node_type], dtype=torch.bool)
    for relation, (nodes, _) in drawn.items():
        if relation.src == node_type:
            touched[nodes] = True
    touched[dst] = False
    return torch.cat([dst, torch.nonzero(touched).flatten()])


def numbered(nodes: Tensor, num_nodes: int) -> Tensor:
    """Where each node stands in ``nodes``: int64 [num_nodes]."""
    place = torch.full((num_nodes,), -1)
    place[nodes] = torch.arange(len(nodes))
    return place


@torch.no_grad()
def embed(model: Sage, graph: GraphTensors) -> Tensors:
    """All nodes over all neighbours, one pass a layer."""
    every = {t: torch.arange(n) for t, n in graph.num_nodes.items()}
    size = graph.num_nodes
    edges = {
        r: adjacency(e.indices.long(), e.destinations(), size[r.dst], size[r.src]) for r, e in graph.relations.items()
    }
    return model(graph.features, [(every, size, edges)] * len(FAN_OUTS))
