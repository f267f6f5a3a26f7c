"""The ``hgnn`` stage: from a graph to item embeddings. Reads the graph batch alone; imports no Polars."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

import torch

from graphkit.artefacts import Batch, StageSpec, StageWork, Workspace, sha256_file
from graphkit.config import Config
from graphkit.config.hgnn import HgnnSection
from graphkit.graph.store import FIT, SNAPSHOTS, read_graph
from graphkit.hgnn.fit import Fit
from graphkit.hgnn.graph_tensors import to_tensors
from graphkit.hgnn.infer import embed_graph
from graphkit.hgnn.model import HeteroSage
from graphkit.hgnn.model_file import save_model
from graphkit.hgnn.neighbours import Pooling, choose_neighbours, load_pooling
from graphkit.hgnn.text_neighbours import with_text_neighbours
from graphkit.progress import say
from graphkit.training.device import choose_device, precision_name, prepare
from graphkit.training.distributed import Team, joined, team_of_environment
from graphkit.training.model_file import MODEL_FILE
from graphkit.training.state import TrainingState
from graphkit.vectors import EMBEDDINGS_FILE, save_vectors

TRAINING_FILE: Final = "training.json"


def train_hgnn(workspace: Workspace, config: Config) -> Batch:
    """Train on the graph's ``fit`` snapshot, then embed every node on ``fit`` and ``serve``.

    Writes ``model.safetensors``, ``embeddings.safetensors`` (``fit/<type>``, ``serve/<type>``, float32
    [num_nodes, out_dim], unit length, items without an edge by their text neighbours, ``hgnn.text_neighbours``, or
    else their text alone; users too, where the graph has them) and ``training.json``. Called by every process that
    ``torch.distributed.run`` starts, it trains one model together and gives each the same batch.
    Raises DeviceError, InputError for a back end that is not there, DataError for a graph without edges.
    """
    graph_batch = workspace.upstream("hgnn")["graph"]
    spec = StageSpec.of("hgnn", config, [graph_batch])
    team = team_of_environment()
    device = choose_device(config.hgnn.device, team.local_rank, "hgnn.device")
    with joined(team, device):
        if not team.leads:
            return _follow(graph_batch, config, device, team)
        if (done := workspace.finished(spec)) is not None:
            team.share(lambda: {"done": str(done.folder)})
            return done
        with workspace.begin(spec) as work:
            team.share(lambda: {"checkpoint_dir": str(work.checkpoint_dir)})
            return _lead(work, graph_batch, config, device, team)


def _lead(work: StageWork, graph_batch: Batch, config: Config, device: torch.device, team: Team) -> Batch:
    back_end, why = choose_neighbours(config.hgnn.neighbours, device)
    precision = precision_name(config.hgnn.precision, device)
    together = f", {team.world} processes" if team.world > 1 else ""
    say(f"training the HGNN on {device} in {precision}{together}, neighbours by {back_end} ({why})")
    pooling = load_pooling(back_end)
    state = _train(graph_batch, config, device, pooling, work.checkpoint_dir, team)
    save_model(work.path(MODEL_FILE), state.model)
    _write_embeddings(work, graph_batch, config.hgnn, state.model, pooling, device)
    _write_training(work, state)
    work.space_id = f"hgnn-{sha256_file(work.path(MODEL_FILE))[:12]}"
    work.device, work.data_window = str(device), graph_batch.manifest.data_window
    work.metrics |= {"neighbours": back_end, "neighbours_why": why, "precision": precision, "processes": team.world}
    batch = work.commit()
    team.share(lambda: {"done": str(batch.folder)})
    return batch


def _follow(graph_batch: Batch, config: Config, device: torch.device, team: Team) -> Batch:
    """Train with the leader, and wait for what it writes."""
    word: dict[str, str] = team.share(dict)
    if "done" not in word:
        pooling = load_pooling(choose_neighbours(config.hgnn.neighbours, device).name)
        _train(graph_batch, config, device, pooling, Path(word["checkpoint_dir"]), team)
        word = team.share(dict)
    return Batch.open(Path(word["done"]))


def _train(
    graph_batch: Batch, config: Config, device: torch.device, pooling: Pooling, checkpoint_dir: Path, team: Team
) -> TrainingState[HeteroSage]:
    prepare(device, config.run.threads, team.local_world)
    graph = to_tensors(read_graph(graph_batch, FIT), device)
    return Fit(graph, config.hgnn, config.run.seed, pooling, checkpoint_dir, team).run()


def _write_embeddings(
    work: StageWork,
    graph_batch: Batch,
    config: HgnnSection,
    model: HeteroSage,
    pooling: Pooling,
    device: torch.device,
) -> None:
    vectors = {}
    for snapshot in SNAPSHOTS:
        graph = to_tensors(with_text_neighbours(read_graph(graph_batch, snapshot), config.text_neighbours), device)
        for node_type, z in embed_graph(model, graph, pooling).items():
            vectors[f"{snapshot}/{node_type}"] = z.cpu().numpy()
            work.row_counts[node_type] = len(z)
    save_vectors(work.path(EMBEDDINGS_FILE), vectors)


def _write_training(work: StageWork, state: TrainingState[HeteroSage]) -> None:
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
        work.metrics["edges_per_second"] = round(state.examples / state.seconds)
