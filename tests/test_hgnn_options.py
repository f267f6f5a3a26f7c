"""What may be added to the paper's model: aggregators, edge weights, ids, jumping knowledge, and cold nodes."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from graphkit.graph.store import CoListeningGraph, Csc, Relation
from graphkit.hgnn.aggregate import Attention, mean_weights
from graphkit.hgnn.blocks import sample_blocks
from graphkit.hgnn.graph_tensors import GraphTensors, InEdges, to_tensors
from graphkit.hgnn.infer import embed_graph
from graphkit.hgnn.model import HeteroSage
from graphkit.hgnn.model_file import load_model, save_model
from graphkit.hgnn.neighbours import choose_neighbours, load_pooling
from tests.hgnn_graphs import CPU, both_directions, graph_of, random_graph, random_links
from tests.test_hgnn_model import POOLING, new_model

IDS = {"num_ids": {"audiobook": 20, "podcast": 30}}
OPTIONS: list[dict[str, Any]] = [
    {"aggregator": "mean"},
    {"aggregator": "mean", "edge_weights": True},
    {"aggregator": "attention"},
    {"aggregator": "attention", "edge_weights": True},
    {"projection": True},
    {"projection": True, "residual": True},
    {"relation_weights": True},
    {"jumping": True},
    IDS,
    {"aggregator": "attention", "edge_weights": True, "projection": True, "residual": True, "jumping": True, **IDS},
]
named = pytest.mark.parametrize("options", OPTIONS, ids="+".join)


def weighted_graph(seed: int = 0) -> GraphTensors:
    """As ``random_graph``, its edges weighted between 0.1 and 1."""
    rng = np.random.default_rng(seed)
    wanted = {("audiobook", "audiobook"): 20, ("audiobook", "podcast"): 60, ("podcast", "podcast"): 160}
    links = random_links(rng, {"audiobook": 17, "podcast": 30}, wanted)
    sizes = {"audiobook": 20, "podcast": 30}
    relations = {
        relation: Csc(csc.indptr, csc.indices, rng.uniform(0.1, 1, len(csc.indices)).astype(np.float32))
        for relation, csc in both_directions(links, sizes).items()
    }
    text = {t: rng.standard_normal((n, 6)).astype(np.float32) for t, n in sizes.items()}
    return to_tensors(CoListeningGraph(sizes, relations, text), CPU)


def model_with(graph: GraphTensors, options: dict[str, Any]) -> HeteroSage:
    model = new_model(graph, (6, 5, 5), **options)
    with torch.no_grad():  # so that factors of 1 and the like are seen
        for number, parameter in enumerate(model.parameters()):
            draw = torch.Generator().manual_seed(number)
            parameter.add_(torch.randn(parameter.shape, generator=draw), alpha=0.1)
    return model


def edges_of(weights: list[list[float]]) -> InEdges:
    """Destinations with as many in-edges as there are weights, from sources 0, 1, …"""
    indptr = torch.tensor([0, *map(len, weights)], dtype=torch.int32).cumsum(0).int()
    flat = [w for of_node in weights for w in of_node]
    return InEdges(indptr, torch.arange(len(flat), dtype=torch.int32), torch.tensor(flat))


# --- aggregators ----------------------------------------------------------------------------------


def test_shares_of_a_mean_by_hand() -> None:
    edges = edges_of([[1.0, 3.0], [], [0.5]])
    assert mean_weights(edges, edges.weight).tolist() == [0.25, 0.75, 1.0]
    assert mean_weights(edges, None).tolist() == [0.5, 0.5, 1.0]


def test_attention_by_hand() -> None:
    """Scores log 1 + leaky(1 + 1) and log 3 + leaky(-11 + 1) = log 3 - 2 of the first node's edges."""
    head = Attention(1, torch.Generator())
    with torch.no_grad():
        head.of_source.weight.fill_(1.0)
        head.of_destination.weight.fill_(1.0)
    edges, messages = edges_of([[1.0, 3.0], [2.0]]), torch.tensor([[1.0], [-11.0], [5.0]])
    first, second = math.exp(2), 3 * math.exp(-2)
    expected = [first / (first + second), second / (first + second), 1.0]
    own = torch.tensor([[1.0], [1.0]])
    assert head(messages, own, edges, edges.weight).tolist() == pytest.approx(expected)
    first, second = math.exp(2), math.exp(-2)
    assert head(messages, own, edges, None)[0].item() == pytest.approx(first / (first + second))


def test_a_mean_layer_by_hand() -> None:
    """Podcasts 1 and 2 send ReLU of themselves to audiobook 0 with weights 1 and 3: [1, 3] and [2, 0] give
    [1.75, 0.75], beside the audiobook's own [1, 1]."""
    csc = Csc(np.array([0, 2]), np.array([1, 2], np.int32), np.array([1, 3], np.float32))
    back = Csc(np.array([0, 0, 1, 2]), np.array([0, 0], np.int32), np.array([1, 3], np.float32))
    relations = {Relation("a", "co-listening", "p"): back, Relation("p", "co-listening", "a"): csc}
    features = {"a": np.ones((1, 2), np.float32), "p": np.array([[9, 9], [1, 3], [2, -4]], np.float32)}
    graph = to_tensors(CoListeningGraph({"a": 1, "p": 3}, relations, features), CPU)
    model = new_model(graph, (2, 2), aggregator="mean", edge_weights=True)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.copy_(torch.zeros(2) if name.endswith("bias") else torch.eye(2))
    length = math.hypot(2.75, 1.75)
    assert embed_graph(model, graph, POOLING)["a"].tolist() == [pytest.approx([2.75 / length, 1.75 / length])]


@settings(deadline=None, max_examples=25)
@given(st.lists(st.lists(st.integers(0, 5), max_size=4), max_size=6), st.integers(0, 2**16))
def test_back_ends_agree_on_weighted_sums_and_their_gradients(lists: list[list[int]], seed: int) -> None:
    if (choice := choose_neighbours("auto", "cpu")).name != "dgl":
        pytest.skip(f"no DGL here: {choice.why}")
    assume(any(lists))  # else nothing has a gradient
    draw = torch.Generator().manual_seed(seed)
    indptr = torch.tensor([0, *map(len, lists)], dtype=torch.int32).cumsum(0).int()
    edges = InEdges(indptr, torch.tensor([i for sources in lists for i in sources], dtype=torch.int32))
    found = []
    for name in ("torch", "dgl"):
        messages = torch.rand(6, 3, generator=draw.manual_seed(seed)).requires_grad_()
        weight = torch.rand(len(edges.indices), generator=draw).requires_grad_()
        pooled = load_pooling(name).weighted_sum(messages, edges, weight)
        (pooled * torch.arange(3)).sum().backward()
        zeros = [torch.zeros_like(messages), torch.zeros_like(weight)]
        grads = [z if p.grad is None else p.grad for z, p in zip(zeros, (messages, weight), strict=True)]
        found.append([pooled.detach(), *grads])
    torch.testing.assert_close(found[0], found[1])


# --- every option ---------------------------------------------------------------------------------


@named
def test_sampled_blocks_with_room_for_all_give_the_exact_inference(options: dict[str, Any]) -> None:
    graph = weighted_graph()
    model = model_with(graph, options)
    seeds = {"audiobook": torch.tensor([18, 3, 7]), "podcast": torch.tensor([29, 0])}
    blocks = sample_blocks(graph, seeds, (200, 200), torch.Generator(), {})
    features = {t: graph.features[t][nodes] for t, nodes in blocks[0].src_nodes.items()}
    z, exact = model(features, blocks, POOLING), embed_graph(model, graph, POOLING)
    for node_type, nodes in seeds.items():
        torch.testing.assert_close(z[node_type], exact[node_type][nodes])


@named
def test_inference_in_blocks_and_from_the_file_is_the_same(options: dict[str, Any], tmp_path: Path) -> None:
    graph = weighted_graph()
    model = model_with(graph, options)
    save_model(tmp_path / "model", model)
    again = load_model(tmp_path / "model")
    assert again.shape == model.shape
    whole, blocked = embed_graph(model, graph, POOLING), embed_graph(again, graph, POOLING, block_nodes=7)
    for node_type in graph.types:
        torch.testing.assert_close(whole[node_type], blocked[node_type])


@named
def test_the_option_changes_the_embeddings(options: dict[str, Any]) -> None:
    graph = weighted_graph()
    ours, plain = model_with(graph, options), new_model(graph, (6, 5, 5))
    shared = {n: p for n, p in ours.state_dict().items() if n in plain.state_dict()}
    if "projection" in options:  # the first layer is of another width
        return
    plain.load_state_dict(shared)
    assert not torch.allclose(
        embed_graph(ours, graph, POOLING)["podcast"], embed_graph(plain, graph, POOLING)["podcast"]
    )


@named
def test_every_parameter_gets_a_gradient(options: dict[str, Any]) -> None:
    graph = weighted_graph()
    model = model_with(graph, options)
    blocks = sample_blocks(
        graph, {t: torch.arange(n) for t, n in graph.num_nodes.items()}, (9, 9), torch.Generator(), {}
    )
    z = model({t: graph.features[t][nodes] for t, nodes in blocks[0].src_nodes.items()}, blocks, POOLING)
    sum((rows * torch.arange(5)).sum() for rows in z.values()).backward()
    assert [name for name, parameter in model.named_parameters() if parameter.grad is None] == []


def test_edge_weights_count() -> None:
    graph = weighted_graph()
    other = weighted_graph()
    for edges in other.relations.values():
        assert edges.weight is not None
        edges.weight.copy_(edges.weight.flip(0))
    for options in ({"aggregator": "mean"}, {"aggregator": "attention"}):
        for heeded in (True, False):
            model = model_with(graph, {**options, "edge_weights": heeded})
            same = torch.allclose(
                embed_graph(model, graph, POOLING)["podcast"], embed_graph(model, other, POOLING)["podcast"]
            )
            assert same != heeded


# --- ids and cold nodes ---------------------------------------------------------------------------


def test_a_node_past_the_table_or_hidden_is_embedded_without_an_id() -> None:
    graph = random_graph()
    model = model_with(graph, {"num_ids": {"audiobook": 19, "podcast": 30}})
    features = torch.rand(3, 6)
    entered = model.enter("audiobook", features, torch.tensor([18, 19, -1]))
    assert not torch.allclose(entered[0], features[0])
    assert torch.equal(entered[1:], features[1:])


def test_a_node_without_a_link_to_train_on_has_no_id() -> None:
    graph = random_graph()
    model = model_with(graph, {"num_ids": {"audiobook": 20, "podcast": 30}})
    model.ids.know({"audiobook": torch.arange(20) < 17})
    features = torch.rand(20, 6)
    entered = model.enter("audiobook", features, torch.arange(20))
    assert torch.equal(entered[17:], features[17:])
    assert not (entered[:17] == features[:17]).all(dim=1).any()


def test_ids_alone_tell_nodes_of_one_text_apart() -> None:
    graph = graph_of({("a", "a"): [(0, 1), (1, 2), (2, 0)]}, {"a": np.ones((3, 4))})
    z = embed_graph(new_model(graph, (4, 4), num_ids={"a": 3}), graph, POOLING)["a"]
    assert not torch.allclose(z[0], z[1])
    assert torch.allclose(*embed_graph(new_model(graph, (4, 4)), graph, POOLING)["a"][:2])


def test_a_node_without_text_edges_or_id_stays_the_zero_vector() -> None:
    graph = graph_of({("a", "a"): [(0, 1)]}, {"a": np.array([[1.0, 0], [0, 1], [0, 0]])})
    model = model_with_two(graph, {"projection": True, "residual": True, "aggregator": "mean"})
    assert embed_graph(model, graph, POOLING)["a"][2].tolist() == [0, 0, 0]


def model_with_two(graph: GraphTensors, options: dict[str, Any]) -> HeteroSage:
    return new_model(graph, (2, 3, 3), **options)


def test_cold_nodes_have_no_in_edges_and_the_others_keep_theirs() -> None:
    graph = random_graph()
    seeds = {t: torch.arange(n) for t, n in graph.num_nodes.items()}
    cold = {t: torch.arange(n) % 3 == 0 for t, n in graph.num_nodes.items()}
    blocks = sample_blocks(graph, seeds, (99, 99), torch.Generator(), {}, cold)
    for block in blocks:
        for relation, edges in block.relations.items():
            dst = block.src_nodes[relation.dst][: block.num_dst[relation.dst]]
            degree = graph.relations[relation].indptr.diff()[dst]
            assert torch.equal(edges.indptr.diff().long(), torch.where(cold[relation.dst][dst], 0, degree))
