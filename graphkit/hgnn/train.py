"""The ``hgnn`` stage: from a graph to item embeddings. Reads the graph batch alone; imports no Polars."""

from __future__ import annotations

import json
from typing import Final

import torch

from graphkit.artefacts import Batch, StageSpec, StageWork, Workspace, sha256_file
from graphkit.config import Config
from graphkit.graph.store import FIT, SNAPSHOTS, read_graph
from graphkit.hgnn.device import choose_device, choose_precision, prepare
from graphkit.hgnn.fit import Fit
from graphkit.hgnn.graph_tensors import to_tensors
from graphkit.hgnn.infer import embed_graph
from graphkit.hgnn.model import HeteroSage
from graphkit.hgnn.model_file import MODEL_FILE, save_model
from graphkit.hgnn.neighbours import MaxPool, choose_neighbours, load_max_pool
from graphkit.hgnn.state import TrainingState
from graphkit.progress import say
from graphkit.vectors import EMBEDDINGS_FILE, save_vectors

TRAINING_FILE: Final = "training.json"


def train_hgnn(workspace: Workspace, config: Config) -> Batch:
    """Train on the graph's ``fit`` snapshot, then embed every node on ``fit`` and ``serve``.

    Writes ``model.safetensors``, ``embeddings.safetensors`` (``fit/<type>``, ``serve/<type>``, float32
    [num_nodes, out_dim], unit length, items without an edge from their text alone; users too, where the graph
    has them) and ``training.json``.
    Raises DeviceError, InputError for a back end that is not there, DataError for a graph without edges.
    """
    graph_batch = workspace.upstream("hgnn")["graph"]
    spec = StageSpec.of("hgnn", config, [graph_batch])
    if (done := workspace.finished(spec)) is not None:
        return done
    device = choose_device(config.hgnn.device)
    back_end, why = choose_neighbours(config.hgnn.neighbours, device)
    with workspace.begin(spec) as work:
        prepare(device, config.run.threads)
        precision = str(choose_precision(config.hgnn.precision, device)).removeprefix("torch.")
        say(f"training the HGNN on {device} in {precision}, neighbours by {back_end} ({why})")
        max_pool = load_max_pool(back_end)
        graph = to_tensors(read_graph(graph_batch, FIT), device)
        state = Fit(graph, config.hgnn, config.run.seed, max_pool, work.checkpoint_dir).run()
        save_model(work.path(MODEL_FILE), state.model)
        _write_embeddings(work, graph_batch, state.model, max_pool, device)
        _write_training(work, state)
        work.space_id = f"hgnn-{sha256_file(work.path(MODEL_FILE))[:12]}"
        work.device, work.data_window = str(device), graph_batch.manifest.data_window
        work.metrics |= {"neighbours": back_end, "neighbours_why": why, "precision": precision}
        return work.commit()


def _write_embeddings(
    work: StageWork, graph_batch: Batch, model: HeteroSage, max_pool: MaxPool, device: torch.device
) -> None:
    vectors = {}
    for snapshot in SNAPSHOTS:
        graph = to_tensors(read_graph(graph_batch, snapshot), device)
        for node_type, z in embed_graph(model, graph, max_pool).items():
            vectors[f"{snapshot}/{node_type}"] = z.cpu().numpy()
            work.row_counts[node_type] = len(z)
    save_vectors(work.path(EMBEDDINGS_FILE), vectors)


def _write_training(work: StageWork, state: TrainingState) -> None:
    body = {"epochs": state.epochs, "best_epoch": state.best_epoch}
    work.path(TRAINING_FILE).write_text(json.dumps(body, indent=1), encoding="utf-8")
    work.metrics |= {
        "val_mrr": state.best_record["val_mrr"],
        "val_mrr_by_relation": state.best_record["val_mrr_by_relation"],
        "best_epoch": state.best_epoch,
        "epochs": len(state.epochs),
        "coverage": state.epochs[-1]["coverage"],
    }
    if state.seconds:  # nothing was trained here if the checkpoint already held the last epoch
        work.metrics["edges_per_second"] = round(state.links / state.seconds)
