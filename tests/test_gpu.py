"""What a GPU must get right: the CPU's neighbours, sums and gradients, and whole trainings. Skipped without one."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
import towers_world as world

from graphkit.artefacts import Batch, Workspace
from graphkit.config import load_config
from graphkit.graph.store import SERVE, read_graph
from graphkit.hgnn.draws import in_edge_positions
from graphkit.hgnn.graph_tensors import InEdges, to_tensors
from graphkit.hgnn.infer import embed_graph
from graphkit.hgnn.model_file import load_model
from graphkit.hgnn.neighbours import load_pooling
from graphkit.hgnn.train import train_hgnn
from graphkit.user_vectors import load_user_vectors
from graphkit.vectors import load_vectors
from tests.hgnn_graphs import CPU, write_graph_batch
from towers import train_encoder

GPU = torch.device("cuda")
pytestmark = [
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU that torch can use"),
    # A GPU has no deterministic kernel for some operations; torch says so and goes on.
    pytest.mark.filterwarnings("ignore:.*deterministic.*:UserWarning"),
]
SMALL = ("hgnn.hidden_dim=12", "hgnn.out_dim=8", "hgnn.fan_outs=[4,3]", "hgnn.batch_size=64", "hgnn.negatives=16")
SEQUENCES = ("clue", "simclr", "shopperbert")


def random_edges(num_dst: int = 200, num_src: int = 90) -> InEdges:
    """Some destinations without in-edges, some with more than are drawn; weighted."""
    rng = np.random.default_rng(0)
    degree = rng.integers(0, 40, num_dst) * (rng.random(num_dst) < 0.8)
    indptr = np.concatenate([[0], degree.cumsum()])
    indices = rng.integers(0, num_src, indptr[-1]).astype(np.int32)
    return InEdges(*map(torch.from_numpy, (indptr, indices, rng.random(len(indices), dtype=np.float32))))


def to(edges: InEdges, device: torch.device) -> InEdges:
    assert edges.weight is not None
    return InEdges(edges.indptr.int().to(device), edges.indices.to(device), edges.weight.to(device))


def test_the_same_neighbours_are_drawn() -> None:
    edges = random_edges()
    dst, hidden = torch.arange(0, 200, 3), torch.arange(len(edges.indices)) % 7 == 0
    for excluded in (None, hidden):
        parts = (edges.indptr, dst, excluded)
        on_gpu = [None if part is None else part.to(GPU) for part in parts]
        expected = in_edge_positions(*parts[:2], 5, 1234567, excluded)
        found = in_edge_positions(on_gpu[0], on_gpu[1], 5, 1234567, on_gpu[2])
        for ours, theirs in zip(found, expected, strict=True):
            assert torch.equal(ours.cpu(), theirs)


@pytest.mark.parametrize("how", ["maximum", "weighted_sum"])
def test_pooling_and_its_gradient_are_the_cpu_s(how: str) -> None:
    pooling, results = load_pooling("torch"), []
    for device in (CPU, GPU):
        edges = to(random_edges(), device)
        messages = torch.rand(90, 16, generator=torch.Generator().manual_seed(1)).to(device).requires_grad_()
        pooled = (
            pooling.maximum(messages, edges)
            if how == "maximum"
            else pooling.weighted_sum(messages, edges, edges.weight)  # type: ignore[arg-type]
        )
        (pooled * torch.arange(16, device=device)).sum().backward()
        assert messages.grad is not None
        results.append((pooled.detach().cpu(), messages.grad.cpu()))
    torch.testing.assert_close(results[1], results[0], atol=1e-3, rtol=1e-5)


def hgnn(root: Path, *sets: str) -> Batch:
    config = load_config("default", (*SMALL, "run.threads=1", "hgnn.epochs=6", "hgnn.text_neighbours=0", *sets))
    write_graph_batch(root, config)
    return train_hgnn(Workspace(root), config)


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("aggregator", ["max", "mean", "attention"])
def test_the_network_learns_as_on_a_cpu(precision: str, aggregator: str, tmp_path: Path) -> None:
    """Devices hold out other links, whose MRR differs by 0.1 from seed to seed; one device's stay the same."""
    sets = (f"hgnn.aggregator={aggregator}", f"hgnn.precision={precision}")
    idle = ("hgnn.device=cuda", "hgnn.learning_rate=1e-9")
    runs = {"cuda": ("hgnn.device=cuda",), "cpu": ("hgnn.device=cpu",), "idle": idle}
    batches = {name: hgnn(tmp_path / name, *sets, *own) for name, own in runs.items()}
    logs = {name: json.loads(batch.path("training.json").read_text()) for name, batch in batches.items()}
    best = {name: max(record["val_mrr"] for record in log["epochs"]) for name, log in logs.items()}
    assert batches["cuda"].manifest.device == "cuda"
    assert logs["cuda"]["epochs"][-1]["loss"] < 0.8 * logs["cuda"]["epochs"][0]["loss"]
    assert best["cuda"] > 1.2 * best["idle"]
    assert best["cuda"] == pytest.approx(best["cpu"], abs=0.15)


def test_a_cpu_reads_what_a_gpu_trained(tmp_path: Path) -> None:
    batch = hgnn(tmp_path, "hgnn.device=cuda", "hgnn.precision=float32")
    model = load_model(batch.path("model.safetensors"))
    graph = to_tensors(read_graph(Workspace(tmp_path).current("graph"), SERVE), CPU)
    written = load_vectors(batch.path("embeddings.safetensors"))
    for node_type, z in embed_graph(model, graph, load_pooling("torch")).items():
        np.testing.assert_allclose(written[f"serve/{node_type}"], z.numpy(), atol=2e-3)


def encoder(root: Path, name: str, *sets: str) -> Batch:
    quick = ("dim=16", "heads=2", "layers=1", "batch_size=16", "epochs=3", *sets)
    config = load_config("default", ["run.threads=1", *(f"{name}.{text}" for text in quick)])
    return train_encoder(world.make_world(root), config, name)


@pytest.mark.parametrize("name", SEQUENCES)
def test_an_encoder_of_sequences_comes_to_the_cpu_s_vectors(name: str, tmp_path: Path) -> None:
    """Without dropout a training draws nothing on the device, so both take the same steps."""
    found = {}
    for device in ("cpu", "cuda"):
        sets = (f"device={device}", "precision=float32", "dropout=0.0", "learning_rate=0.0005")
        batch = encoder(tmp_path / device, name, *sets)
        vectors = load_user_vectors(batch.path("user_vectors.safetensors"), name, world.NUM_USERS, True)
        found[device] = vectors.serve
    np.testing.assert_allclose(found["cuda"], found["cpu"], atol=0.02)
    assert np.abs(found["cpu"]).max() > 0.1


@pytest.mark.parametrize("name", SEQUENCES)
def test_an_encoder_of_sequences_trains_in_half_precision(name: str, tmp_path: Path) -> None:
    batch = encoder(tmp_path, name, "device=auto")
    assert batch.manifest.device == "cuda"
    assert batch.manifest.metrics["precision"] == "bfloat16"
    vectors = load_user_vectors(batch.path("user_vectors.safetensors"), name, world.NUM_USERS, True).serve
    assert np.isfinite(vectors).all()
    assert np.abs(np.delete(vectors, world.NOBODY, axis=0)).max(axis=1).min() > 0
