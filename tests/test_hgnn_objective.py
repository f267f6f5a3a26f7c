"""The objective of a batch: its parts add up, its negatives are what the settings say, its correction is right."""

from __future__ import annotations

import math

import pytest
import torch

from graphkit.config.hgnn import HgnnSection
from graphkit.hgnn.graph_tensors import GraphTensors
from graphkit.hgnn.links import LinkSets, find_links
from graphkit.hgnn.losses import softmax_loss
from graphkit.hgnn.model import HeteroSage
from graphkit.hgnn.negatives import batch_ends, expected_draws, link_frequency, neighbours_of
from graphkit.hgnn.neighbours import load_pooling
from graphkit.hgnn.objective import Objective, Part
from tests.hgnn_graphs import co, random_graph, tangled_graph
from tests.test_hgnn_model import new_model

POOLING = load_pooling("torch")
AA, AP, PP = co("audiobook", "audiobook"), co("audiobook", "podcast"), co("podcast", "podcast")


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def some_links(graph: GraphTensors, count: int = 7) -> LinkSets:
    return {r: links.take(torch.arange(0, len(links), 2)[:count]) for r, links in find_links(graph).items()}


def gradients(model: HeteroSage, loss: torch.Tensor) -> list[torch.Tensor]:
    found = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for p, g in zip(model.parameters(), found, strict=True)]


@pytest.mark.parametrize(
    "sets",
    [
        {},
        {"loss": "margin", "negative_types": "catalogue"},
        {"batch_negatives": 5, "hard_negatives": 5, "cold_share": 0.3, "id_dropout": 0.5},
    ],
)
@pytest.mark.parametrize("make_graph", [random_graph, tangled_graph])
def test_the_parts_of_a_batch_add_up_to_the_whole(sets, make_graph) -> None:
    graph = make_graph()
    config = HgnnSection(fan_outs=(3, 2), negatives=6, **sets)
    model = new_model(graph, (6, 5, 4), num_ids=graph.num_nodes)
    batch = some_links(graph)
    frequency = link_frequency(graph.num_nodes, batch, {r: len(links) for r, links in batch.items()})
    objective = Objective(graph, POOLING, config, frequency, batches=1)
    whole = objective.loss(model, batch, seeded(3))
    parts = [objective.loss(model, batch, seeded(3), Part(rank, 3)) for rank in range(3)]
    torch.testing.assert_close(sum(parts), whole)
    assert all(part.item() > 0 for part in parts)
    of_parts = [sum(grads) for grads in zip(*(gradients(model, part) for part in parts), strict=True)]
    torch.testing.assert_close(of_parts, gradients(model, whole), atol=1e-6, rtol=1e-4)


def test_negatives_from_the_batch_are_ends_of_its_links() -> None:
    batch = some_links(random_graph())
    ends = {*batch[AA].src.tolist(), *batch[AA].dst.tolist(), *batch[AP].src.tolist()}
    drawn = batch_ends(batch, "audiobook", 9, seeded())
    assert len(drawn) == 9
    assert set(drawn.tolist()) <= ends
    assert len(batch_ends(batch, "audiobook", 1000, seeded())) == 2 * len(batch[AA].src) + len(batch[AP].src)
    assert len(batch_ends({AA: batch[AA]}, "podcast", 9, seeded())) == 0


def test_hard_negatives_are_neighbours_of_the_same_type() -> None:
    graph = random_graph()
    nodes = torch.arange(20)  # the last three have no edge
    drawn = neighbours_of(graph, "audiobook", nodes, seeded())
    edges = graph.relations[AA]
    has_some = [n for n in range(20) if edges.indptr[n + 1] > edges.indptr[n]]
    assert len(drawn) == len(has_some)
    for node, neighbour in zip(has_some, drawn.tolist(), strict=True):
        assert neighbour in edges.indices[edges.indptr[node] : edges.indptr[node + 1]].tolist()


def test_frequency_counts_both_ends_of_what_an_epoch_draws() -> None:
    graph = random_graph()
    links = find_links(graph)
    counts = {AA: 5, AP: 10, PP: 20}
    frequency = link_frequency(graph.num_nodes, links, counts)
    assert float(frequency["audiobook"].sum()) == pytest.approx(2 * 5 + 10, rel=1e-5)
    assert float(frequency["podcast"].sum()) == pytest.approx(10 + 2 * 20, rel=1e-5)
    assert frequency["audiobook"][17:].tolist() == [0.0] * 3
    degree = (links[AA].src == 4).sum() + (links[AA].dst == 4).sum()
    share = float(degree) * 5 / len(links[AA]) + float((links[AP].src == 4).sum()) * 10 / len(links[AP])
    assert float(frequency["audiobook"][4]) == pytest.approx(share, rel=1e-5)


def test_expected_draws_by_hand() -> None:
    """Of 4 nodes, 1 drawn evenly and 2 by frequency: 1/4 + 2 f / 10 times each, at most once."""
    found = expected_draws(torch.tensor([0.0, 2.0, 3.0, 5.0]), uniform=1, from_batch=2).tolist()
    assert found == pytest.approx([0.25, 0.65, 0.85, 1.0])
    assert expected_draws(torch.zeros(4), uniform=3, from_batch=0).tolist() == pytest.approx([0.75] * 4)


def corrections(config: HgnnSection, batches: int) -> dict[str, torch.Tensor]:
    graph = random_graph()
    links = find_links(graph)
    frequency = link_frequency(graph.num_nodes, links, {r: len(of_it) for r, of_it in links.items()})
    return Objective(graph, POOLING, config, frequency, batches)._correction


def test_even_draws_need_no_correction() -> None:
    for types in ("target", "catalogue"):
        config = HgnnSection(negatives=8, batch_negatives=0, negative_types=types)
        for correction in corrections(config, 1).values():
            assert correction.tolist() == pytest.approx([0.0] * len(correction), abs=1e-6)


@pytest.mark.parametrize("types", ["target", "catalogue"])
def test_pools_hold_each_node_as_often_as_the_correction_says(types: str) -> None:
    """Whole catalogues and single types; batches with fewer ends than are asked for."""
    graph = random_graph()
    links = find_links(graph)
    config = HgnnSection(negatives=9, batch_negatives=12, hard_negatives=0, negative_types=types)
    frequency = link_frequency(graph.num_nodes, links, {r: len(of_it) for r, of_it in links.items()})
    batches = 14
    objective = Objective(graph, POOLING, config, frequency, batches)
    drawn = {t: torch.zeros(n) for t, n in graph.num_nodes.items()}
    rounds, draw = 1500, seeded()
    for _ in range(rounds):
        batch = {
            r: of_it.take(torch.randperm(len(of_it), generator=draw)[: len(of_it) // batches])
            for r, of_it in links.items()
        }
        for t, pool in objective._pools(batch, draw).items():
            drawn[t][pool] += 1 / rounds
    every, expected = torch.cat([*drawn.values()]), torch.cat([*objective._correction.values()])
    rate = torch.log(every.clamp_min(1e-6))
    groups = [slice(0, 20), slice(20, 50)] if types == "target" else [slice(0, 50)]
    for group in groups:  # up to a constant, and to what falls on the same node twice
        difference = rate[group] - expected[group]
        assert float((difference - difference.median()).abs().max()) < 0.45


def test_the_softmax_subtracts_the_correction() -> None:
    positive, negative = torch.tensor([0.4]), torch.tensor([[0.2, 0.1]])
    loss = softmax_loss(positive, negative, torch.zeros(1, 2, dtype=torch.bool), 0.5, torch.tensor([0.3, -0.7]))
    expected = -math.log(math.exp(0.8) / (math.exp(0.8) + math.exp(0.1) + math.exp(0.9)))
    assert loss.item() == pytest.approx(expected)
