"""CLUE's training step against a bare nn.TransformerEncoder of the same shapes, turn by turn in one process.

python benchmarks/clue_throughput.py WORKSPACE --steps 10 --rounds 3

Both sides take the same batches of the workspace's dataset. A bare step is two stacks of nn.TransformerEncoder,
forward on random tensors of exactly the groups of sequences that CLUE's step makes (nothing is padded more), the mean
of the output, backward, AdamW: no tokens, no gathering, no pooling, no loss, no batch making. `padded` is the same
with every item and sequence padded to the batch's longest, which is what one writes first. Attention has no dropout
in CLUE; the bare stack has it only with --dropout-in-attention. On a busy machine compare processor time, of one
thread (--set run.threads=1). On a GPU (--set clue.device=cuda) all sides compute in the same precision, and the peak
memory of each is given.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from record import record
from torch import nn

from graphkit.artefacts import Workspace
from graphkit.config import load_config
from graphkit.datasets.store import Dataset
from graphkit.training.device import choose_device, choose_precision, prepare
from graphkit.training.distributed import ALONE
from graphkit.training.gradients import FlatGradients
from towers.encoders.clue.data import read_training_data
from towers.encoders.clue.learners import ClueLearner
from towers.encoders.clue.model import new_model
from towers.encoders.sequences.backbone import BackboneShape, to_behaviours
from towers.encoders.sequences.tokens import PAD
from towers.encoders.sequences.transformer import groups_by_length
from towers.encoders.source import Source

Shapes = list[tuple[int, int]]  # of each group: sequences, places


class Taken(NamedTuple):
    """What a side's steps took."""

    seconds: float
    cpu_seconds: float
    gpu_gib: float  # at most


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dropout-in-attention", action="store_true")
    parser.add_argument("--preset", default="default", help="paper: the papers' sizes, for GPUs")
    parser.add_argument("--set", action="append", default=[], dest="sets", metavar="KEY=VALUE")
    options = parser.parse_args()
    config = load_config(options.preset, options.sets)
    settings, device = config.clue, choose_device(config.clue.device)
    prepare(device, config.run.threads)
    half = choose_precision(settings.precision, device) == torch.bfloat16
    dataset = Dataset.current(Workspace(options.workspace))
    data = read_training_data(Source(dataset, {"dataset": dataset.batch}), settings, by_service=True, seed=0)
    shape = data.shape(settings)
    model = new_model(shape, 0).to(device).train()
    learner = ClueLearner(model, data, ALONE, settings.batch_size)
    rng = np.random.default_rng(0)
    batches = [rng.permutation(learner.num_examples)[: settings.batch_size] for _ in range(options.steps)]
    shapes = [shapes_of(learner, batch) for batch in batches]
    sides: dict[str, Callable[[], None]] = {"clue": own_steps(learner, batches, settings.clip_norm, half)}
    for name, padded in (("bare", False), ("padded", True)):
        sides[name] = bare(shape.backbone, shapes, padded, options.dropout_in_attention, device, half)
    taken = in_turn(sides, options.rounds, device)
    wall, cpu_time = (
        {name: statistics.median(part[i] for part in parts) / options.steps for name, parts in taken.items()}
        for i in range(2)
    )
    rows = [
        {
            "step": name,
            "ms": round(1000 * each, 1),
            "cpu_ms": round(1000 * cpu_time[name], 1),
            "users_per_second": round(settings.batch_size / each, 1),
            "throughput_of_bare": round(wall["bare"] / each, 3),
            "of_bare_by_cpu_time": round(cpu_time["bare"] / cpu_time[name], 3),
            "tokens": round(statistics.mean(tokens(shape, name == "padded") for shape in shapes)),
            "gpu_gib": round(max(part.gpu_gib for part in taken[name]), 2),
        }
        for name, each in wall.items()
    ]
    record(
        "clue_throughput",
        rows,
        settings=settings.model_dump(mode="json"),
        threads=torch.get_num_threads(),
        device=torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        precision="bfloat16" if half else "float32",
    )


def own_steps(
    learner: ClueLearner, batches: list[np.ndarray], clip_norm: float | None, half: bool
) -> Callable[[], None]:
    """The steps of ``train-encoder``."""
    optimiser = torch.optim.AdamW(learner.model.parameters(), lr=1e-6, fused=True)
    gradients, rng = FlatGradients(learner.model.parameters()), np.random.default_rng(0)

    def steps() -> None:
        for batch in batches:
            with torch.autocast(learner.device.type, torch.bfloat16, enabled=half):
                loss = learner.loss(batch, slice(0, len(batch)), rng)
            gradients.compute(loss)
            gradients.clip(gradients.measure()[1], clip_norm)
            optimiser.step()

    return steps


def in_turn(sides: dict[str, Callable[[], None]], rounds: int, device: torch.device) -> dict[str, list[Taken]]:
    """What each side took in each round; one round before is for warming up."""
    taken: dict[str, list[Taken]] = {name: [] for name in sides}
    gpu = device.type == "cuda"
    for _ in range(rounds + 1):
        for name, side in sides.items():
            if gpu:
                torch.cuda.synchronize()
                torch.cuda.reset_peak_memory_stats()
            started, cpu = time.perf_counter(), time.process_time()
            side()
            if gpu:
                torch.cuda.synchronize()
            seconds = (time.perf_counter() - started, time.process_time() - cpu)
            taken[name].append(Taken(*seconds, torch.cuda.max_memory_allocated() / 2**30 if gpu else 0.0))
    return {name: parts[1:] for name, parts in taken.items()}


def shapes_of(learner: ClueLearner, batch: np.ndarray) -> tuple[Shapes, Shapes]:
    """The groups of items and of sequences that a step on ``batch`` makes."""
    data = learner.data
    rows = data.rows.of_users(data.train[batch])
    made = to_behaviours(rows, data.catalogue.tokens, data.catalogue.vocabulary, learner.device)
    both = ((made.tokens != PAD).sum(1), made.lengths)
    item, service = ([(len(g), int(n[g].max())) for g in groups_by_length(n)] for n in both)
    return item, service


def tokens(shapes: tuple[Shapes, Shapes], padded: bool) -> int:
    """Places that both stacks compute."""
    return sum(n * length for groups in shapes for n, length in (one_group(groups) if padded else groups))


def one_group(groups: Shapes) -> Shapes:
    return [(sum(n for n, _ in groups), max(length for _, length in groups))]


def bare(
    shape: BackboneShape,
    shapes: list[tuple[Shapes, Shapes]],
    padded: bool,
    attention_dropout: bool,
    device: torch.device,
    half: bool,
) -> Callable[[], None]:
    """Steps of two bare stacks on random tensors."""
    stacks = []
    for _ in range(2):
        layer = nn.TransformerEncoderLayer(
            shape.dim, shape.heads, shape.feedforward, shape.dropout, "gelu", batch_first=True, norm_first=True
        )
        if not attention_dropout:
            layer.self_attn.dropout = 0.0
        stacks.append(nn.TransformerEncoder(layer, shape.layers, nn.LayerNorm(shape.dim), enable_nested_tensor=False))
        stacks[-1].to(device)
    parameters = [parameter for stack in stacks for parameter in stack.parameters()]
    optimiser = torch.optim.AdamW(parameters, lr=1e-6, fused=True)
    sizes = [[one_group(groups) if padded else groups for groups in both] for both in shapes]
    inputs = [
        [[torch.randn(n, length, shape.dim, device=device) for n, length in groups] for groups in both]
        for both in sizes
    ]

    def steps() -> None:
        for both in inputs:
            optimiser.zero_grad()
            with torch.autocast(device.type, torch.bfloat16, enabled=half):
                means = [stack(x).mean() for stack, groups in zip(stacks, both, strict=True) for x in groups]
            torch.stack(means).sum().backward()
            optimiser.step()

    return steps


if __name__ == "__main__":
    main()
