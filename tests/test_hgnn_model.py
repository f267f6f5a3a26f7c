"""The model against numbers worked out by hand, and properties any message passing must have."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch

from graphkit.errors import ArtefactError
from graphkit.graph.store import Relation
from graphkit.hgnn.blocks import sample_blocks
from graphkit.hgnn.graph_tensors import GraphTensors
from graphkit.hgnn.infer import embed_graph
from graphkit.hgnn.model import HeteroSage, ModelShape
from graphkit.hgnn.model_file import load_model, save_model
from graphkit.hgnn.neighbours import load_pooling
from tests.hgnn_graphs import graph_of, random_graph, tangled_graph

POOLING = load_pooling("torch")


def new_model(
    graph: GraphTensors,
    dims: tuple[int, ...],
    final_activation: bool = False,
    seed: int = 0,
    shared: bool = False,
    **more: Any,
) -> HeteroSage:
    shape = ModelShape(
        types=graph.types,
        relations=tuple(graph.relations),
        dims=dims,
        final_activation=final_activation,
        shared_weights=shared,
        **more,
    )
    return HeteroSage(shape, torch.Generator().manual_seed(seed))


def set_weights(model: HeteroSage, weights: dict[str, list[list[float]] | list[float]]) -> None:
    with torch.no_grad():
        for name, value in weights.items():
            model.get_parameter(name).copy_(torch.tensor(value))


def hand_graph() -> GraphTensors:
    """Audiobook 0 has podcasts 0 and 1; the podcasts have one another."""
    features = {"a": np.array([[1.0, 0.0]]), "p": np.array([[0.0, 2.0], [3.0, -1.0]])}
    return graph_of({("a", "p"): [(0, 0), (0, 1)], ("p", "p"): [(0, 1)]}, features)


def hand_model(final_activation: bool) -> HeteroSage:
    model = new_model(hand_graph(), (2, 2), final_activation)
    set_weights(
        model,
        {
            "layers.0.own.@a.weight": [[1.0, 0.0], [0.0, 1.0]],
            "layers.0.own.@p.weight": [[-1.0, 0.0], [0.0, -1.0]],
            "layers.0.neighbour.@p>co-listening>a.weight": [[1.0, 0.0], [0.0, 1.0]],
            "layers.0.neighbour.@p>co-listening>a.bias": [0.5, 0.0],
            "layers.0.neighbour.@a>co-listening>p.weight": [[2.0, 0.0], [0.0, 1.0]],
            "layers.0.neighbour.@a>co-listening>p.bias": [0.0, 0.0],
            "layers.0.neighbour.@p>co-listening>p.weight": [[0.0, 1.0], [1.0, 0.0]],
            "layers.0.neighbour.@p>co-listening>p.bias": [0.0, -1.0],
        },
    )
    return model


def test_one_layer_by_hand() -> None:
    """Messages to audiobook 0 are ReLU([0.5, 2]) and ReLU([3.5, -1]): the maximum is [3.5, 2].

    Podcast 0 hears [2, 0] from the audiobook and ReLU([-1, 2]) from podcast 1; podcast 1 hears [2, 0] and
    ReLU([2, -1]).
    """
    z = embed_graph(hand_model(final_activation=False), hand_graph(), POOLING)
    assert z["a"].tolist() == [pytest.approx([4.5 / math.hypot(4.5, 2), 2 / math.hypot(4.5, 2)])]
    # [0, -2] + [2, 0] + [0, 2] and [-3, 1] + [2, 0] + [2, 0]
    assert z["p"].tolist() == [pytest.approx([1.0, 0.0]), pytest.approx([1 / math.sqrt(2), 1 / math.sqrt(2)])]


def test_relations_are_summed_and_the_last_activation_is_a_setting() -> None:
    model, graph = hand_model(final_activation=True), hand_graph()
    set_weights(model, {"layers.0.own.@p.weight": [[-2.0, 0.0], [0.0, -1.0]]})
    # Podcast 1: [-6, 1] + [2, 0] + [2, 0] = [-2, 1], of which ReLU leaves [0, 1].
    assert embed_graph(model, graph, POOLING)["p"][1].tolist() == pytest.approx([0.0, 1.0])
    bare = new_model(graph, (2, 2))
    bare.load_state_dict(model.state_dict())
    root5 = math.sqrt(5)
    assert embed_graph(bare, graph, POOLING)["p"][1].tolist() == pytest.approx([-2 / root5, 1 / root5])


def test_full_sampled_blocks_give_the_exact_inference() -> None:
    graph = random_graph()
    model = new_model(graph, (6, 5, 4))
    seeds = {"audiobook": torch.tensor([18, 3, 7]), "podcast": torch.tensor([29, 0])}
    blocks = sample_blocks(graph, seeds, (200, 200), torch.Generator(), {})
    features = {t: graph.features[t][nodes] for t, nodes in blocks[0].src_nodes.items()}
    z, exact = model(features, blocks, POOLING), embed_graph(model, graph, POOLING)
    for node_type, nodes in seeds.items():
        torch.testing.assert_close(z[node_type], exact[node_type][nodes])


def test_inference_does_not_depend_on_the_block_size() -> None:
    graph = random_graph()
    model = new_model(graph, (6, 5, 4))
    whole, blocked = embed_graph(model, graph, POOLING), embed_graph(model, graph, POOLING, block_nodes=7)
    for node_type in graph.types:
        torch.testing.assert_close(whole[node_type], blocked[node_type])


def test_renumbering_the_nodes_renumbers_the_embeddings() -> None:
    rng = np.random.default_rng(3)
    features = {"a": rng.standard_normal((6, 4)), "p": rng.standard_normal((9, 4))}
    links = {
        ("a", "p"): [(i, (2 * i + k) % 9) for i in range(5) for k in range(3)],
        ("p", "p"): [(0, 4), (4, 8), (2, 3)],
    }
    order = {"a": rng.permutation(6), "p": rng.permutation(9)}  # new number of each old node
    moved = {(s, d): [(int(order[s][i]), int(order[d][j])) for i, j in pairs] for (s, d), pairs in links.items()}
    shuffled = {t: vectors[np.argsort(order[t])] for t, vectors in features.items()}
    graph, other = graph_of(links, features), graph_of(moved, shuffled)
    model = new_model(graph, (4, 5, 3))
    z, w = embed_graph(model, graph, POOLING), embed_graph(model, other, POOLING)
    for node_type in z:
        torch.testing.assert_close(w[node_type][torch.from_numpy(order[node_type])], z[node_type])


def test_embeddings_have_unit_length_and_lonely_items_follow_their_text() -> None:
    graph = random_graph()
    model = new_model(graph, (6, 5, 4))
    z = embed_graph(model, graph, POOLING)
    torch.testing.assert_close(z["audiobook"].norm(dim=1), torch.ones(20))
    graph.features["audiobook"][19] += 1.0  # items 17 to 19 have no edge
    again = embed_graph(model, graph, POOLING)
    assert not torch.allclose(again["audiobook"][19], z["audiobook"][19])
    torch.testing.assert_close(again["audiobook"][:19], z["audiobook"][:19])


def test_an_item_without_text_and_edges_is_the_zero_vector() -> None:
    graph = graph_of({("a", "a"): [(0, 1)]}, {"a": np.array([[1.0, 0], [0, 1], [0, 0]])})
    assert embed_graph(new_model(graph, (2, 3, 3)), graph, POOLING)["a"][2].tolist() == [0, 0, 0]


def test_two_layers_see_two_hops_and_no_further() -> None:
    path = {("a", "a"): [(0, 1), (1, 2), (2, 3)]}
    features = np.abs(np.random.default_rng(0).standard_normal((4, 3)))
    graph = graph_of(path, {"a": features})
    model = new_model(graph, (3, 16, 8))
    before = embed_graph(model, graph, POOLING)["a"]
    graph.features["a"][3] *= 100.0
    after = embed_graph(model, graph, POOLING)["a"]
    assert torch.equal(before[0], after[0])
    assert not torch.allclose(before[1], after[1])


def test_type_names_may_hold_anything() -> None:
    names = ("keys", "a.b", "a>b")
    graph = graph_of({(names[0], names[1]): [(0, 0)]}, {name: np.ones((1, 2)) for name in names})
    assert set(embed_graph(new_model(graph, (2, 2)), graph, POOLING)) == set(names)


@pytest.mark.parametrize("shared", [True, False])
def test_shared_weights_embed_a_text_the_same_whatever_its_type(shared: bool) -> None:
    text = np.random.default_rng(0).standard_normal((3, 4))
    graph = graph_of({("p", "p"): [(0, 1)]}, {"a": text, "p": text})
    z = embed_graph(new_model(graph, (4, 5, 3), shared=shared), graph, POOLING)
    assert torch.equal(z["a"][2], z["p"][2]) == shared
    assert not torch.allclose(z["a"][0], z["p"][0])  # podcast 0 has a neighbour


def test_shared_weights_are_one_matrix_a_layer_and_sort() -> None:
    model = new_model(random_graph(), (6, 5, 4), shared=True)
    assert {name: tuple(weight.shape) for name, weight in model.state_dict().items()} == {
        "layers.0.own.shared.weight": (5, 6), "layers.0.neighbour.shared.weight": (5, 6),
        "layers.0.neighbour.shared.bias": (5,), "layers.1.own.shared.weight": (4, 5),
        "layers.1.neighbour.shared.weight": (4, 5), "layers.1.neighbour.shared.bias": (4,),
    }  # fmt: skip
    own = {name for name in new_model(random_graph(), (6, 5)).state_dict() if ".own." in name}
    assert own == {"layers.0.own.@audiobook.weight", "layers.0.own.@podcast.weight"}


def test_shared_weights_know_no_type_by_name() -> None:
    """The types swap their names and their order; users (no text) and several kinds of edges are there too."""
    graph = tangled_graph()
    swap = {"audiobook": "podcast", "podcast": "audiobook", "user": "user"}
    renamed = GraphTensors(
        {swap[t]: graph.num_nodes[t] for t in reversed(graph.types)},
        {Relation(swap[r.src], r.kind, swap[r.dst]): edges for r, edges in reversed(graph.relations.items())},
        {swap[t]: features for t, features in graph.features.items()},
    )
    z = embed_graph(new_model(graph, (6, 5, 4), shared=True), graph, POOLING)
    w = embed_graph(new_model(renamed, (6, 5, 4), shared=True), renamed, POOLING)
    for node_type in graph.types:
        torch.testing.assert_close(w[swap[node_type]], z[node_type])
    assert not torch.allclose(z["audiobook"], z["audiobook"][0])


@pytest.mark.parametrize("shared", [True, False])
def test_a_saved_model_comes_back_and_anything_else_is_refused(tmp_path, shared: bool) -> None:
    graph = random_graph()
    model = new_model(graph, (6, 5, 4), final_activation=True, seed=5, shared=shared)
    save_model(tmp_path / "model.safetensors", model)
    again = load_model(tmp_path / "model.safetensors")
    assert again.shape == model.shape
    for node_type, z in embed_graph(again, graph, POOLING).items():
        assert torch.equal(z, embed_graph(model, graph, POOLING)[node_type])
    (tmp_path / "junk").write_bytes(b"no tensors")
    with pytest.raises(ArtefactError, match="not a model"):
        load_model(tmp_path / "junk")
