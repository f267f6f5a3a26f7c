"""One contract for every neighbour back end, and how one is chosen."""

from __future__ import annotations

import sys

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from graphkit.errors import InputError
from graphkit.hgnn.blocks import sample_blocks
from graphkit.hgnn.graph_tensors import InEdges
from graphkit.hgnn.infer import embed_graph
from graphkit.hgnn.neighbours import Pooling, choose_neighbours, load_pooling
from graphkit.training import device as devices
from graphkit.training.device import DeviceError, choose_device
from tests.hgnn_graphs import random_graph
from tests.test_hgnn_model import new_model

BACK_ENDS = ["torch", "dgl"]


def pool_of(name: str) -> Pooling:
    if name == "dgl" and (choice := choose_neighbours("auto", "cpu")).name != "dgl":
        pytest.skip(f"no DGL here: {choice.why}")
    return load_pooling(name)


def in_edges(lists: list[list[int]]) -> InEdges:
    indptr = torch.tensor([0, *map(len, lists)], dtype=torch.int32).cumsum(0).int()
    return InEdges(indptr, torch.tensor([i for sources in lists for i in sources], dtype=torch.int32))


@pytest.mark.parametrize("name", BACK_ENDS)
def test_maximum_per_destination_zeros_without_neighbours(name: str) -> None:
    messages = torch.tensor([[1.0, 5.0], [4.0, 2.0], [3.0, 3.0]])
    pooled = pool_of(name).maximum(messages, in_edges([[0, 1], [], [2], []]))
    assert pooled.tolist() == [[4.0, 5.0], [0.0, 0.0], [3.0, 3.0], [0.0, 0.0]]


@pytest.mark.parametrize("name", BACK_ENDS)
@pytest.mark.parametrize("lists", [[], [[], []]])
def test_no_edges_and_no_destinations(name: str, lists: list[list[int]]) -> None:
    assert pool_of(name).maximum(torch.ones(2, 3), in_edges(lists)).tolist() == [[0.0] * 3] * len(lists)


@pytest.mark.parametrize("name", BACK_ENDS)
def test_the_gradient_goes_to_the_largest_message(name: str) -> None:
    messages = torch.tensor([[1.0, 5.0], [4.0, 2.0], [9.0, 9.0]], requires_grad=True)
    pooled = pool_of(name).maximum(messages, in_edges([[0, 1], [], [1]]))
    (pooled * torch.tensor([[1.0, 10.0], [7.0, 7.0], [100.0, 1000.0]])).sum().backward()
    assert messages.grad is not None
    assert messages.grad.tolist() == [[0.0, 10.0], [101.0, 1000.0], [0.0, 0.0]]


@settings(deadline=None, max_examples=25)
@given(st.lists(st.lists(st.integers(0, 5), max_size=4), max_size=6), st.integers(0, 2**16))
def test_back_ends_agree(lists: list[list[int]], seed: int) -> None:
    messages = torch.rand(6, 3, generator=torch.Generator().manual_seed(seed))
    assert torch.equal(
        pool_of("torch").maximum(messages, in_edges(lists)), pool_of("dgl").maximum(messages, in_edges(lists))
    )


@pytest.mark.parametrize("name", BACK_ENDS)
@pytest.mark.parametrize("how", ["maximum", "weighted_sum"])
def test_half_precision_messages_are_pooled_and_have_gradients(name: str, how: str) -> None:
    """A GPU has no such gradients of its own; the weights of a sum are of full precision."""
    edges, pooling = in_edges([[0, 1], [], [2]]), pool_of(name)
    messages = torch.tensor([[1.0, 5.0], [4.0, 2.0], [3.0, 3.0]], dtype=torch.bfloat16, requires_grad=True)
    weight = torch.tensor([0.25, 0.75, 1.0], requires_grad=True)
    pooled = pooling.maximum(messages, edges) if how == "maximum" else pooling.weighted_sum(messages, edges, weight)
    assert pooled.dtype == torch.bfloat16
    assert pooled.tolist() == ([[4, 5], [0, 0], [3, 3]] if how == "maximum" else [[3.25, 2.75], [0, 0], [3, 3]])
    pooled.sum().backward()
    assert messages.grad is not None
    expected = [[0, 1], [1, 0], [1, 1]] if how == "maximum" else [[0.25, 0.25], [0.75, 0.75], [1, 1]]
    assert messages.grad.tolist() == expected
    if how == "weighted_sum":
        assert weight.grad is not None
        assert weight.grad.tolist() == [6, 6, 6]


def test_parity_of_the_model_forwards_and_backwards() -> None:
    graph = random_graph()
    seeds = {"audiobook": torch.arange(20), "podcast": torch.tensor([4, 9, 2])}
    outputs, gradients = [], []
    for name in BACK_ENDS:
        model = new_model(graph, (6, 8, 5))
        blocks = sample_blocks(graph, seeds, (3, 2), torch.Generator().manual_seed(1), {})
        features = {t: graph.features[t][nodes] for t, nodes in blocks[0].src_nodes.items()}
        z = model(features, blocks, pool_of(name))
        sum((x * torch.arange(5)).sum() for x in z.values()).backward()
        outputs.append(torch.cat([z["audiobook"], z["podcast"]]))
        gradients.append([p.grad for p in model.parameters()])
    torch.testing.assert_close(outputs[0], outputs[1], atol=1e-6, rtol=0)
    torch.testing.assert_close(gradients[0], gradients[1], atol=1e-5, rtol=1e-5)


def test_parity_of_whole_graph_inference() -> None:
    graph = random_graph()
    model = new_model(graph, (6, 8, 5))
    ours, dgls = (embed_graph(model, graph, pool_of(name)) for name in BACK_ENDS)
    for node_type in graph.types:
        torch.testing.assert_close(ours[node_type], dgls[node_type], atol=1e-6, rtol=0)


def test_auto_takes_dgl_on_a_cpu_and_torch_elsewhere() -> None:
    pool_of("dgl")  # or skip
    assert choose_neighbours("auto", torch.device("cpu")).name == "dgl"
    name, why = choose_neighbours("auto", "cuda:0")
    assert name == "torch"
    assert "CPU" in why
    assert choose_neighbours("torch", "cpu").name == "torch"


def test_without_dgl_auto_takes_torch_and_dgl_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "graphkit.hgnn.neighbours_dgl", raising=False)
    monkeypatch.delattr("graphkit.hgnn.neighbours_dgl", raising=False)
    monkeypatch.setitem(sys.modules, "dgl", None)  # makes `import dgl` fail
    assert choose_neighbours("auto", "cpu") == ("torch", "DGL is not installed")
    with pytest.raises(InputError, match="pure-torch back end"):
        choose_neighbours("dgl", "cpu")


def test_a_broken_dgl_is_not_fatal(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    (tmp_path / "dgl.py").write_text("raise OSError('libdgl.so: undefined symbol')\n")
    monkeypatch.delitem(sys.modules, "graphkit.hgnn.neighbours_dgl", raising=False)
    monkeypatch.delattr("graphkit.hgnn.neighbours_dgl", raising=False)
    monkeypatch.delitem(sys.modules, "dgl", raising=False)
    monkeypatch.syspath_prepend(tmp_path)
    name, why = choose_neighbours("auto", "cpu")
    assert name == "torch"
    assert "undefined symbol" in why


def test_cuda_without_a_gpu_is_refused_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(devices.torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    with pytest.raises(DeviceError, match=r"--set clue\.device=cpu"):
        choose_device("cuda", where="clue.device")
