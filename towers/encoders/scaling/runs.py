"""The runs of a ladder: which there are, and one of them from start to test loss."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Final

import numpy as np
import torch

from graphkit.config import Config
from graphkit.config.encoder_scaling import Rung
from graphkit.training.distributed import ALONE
from towers.encoders.clue.data import TrainingData
from towers.encoders.clue.learners import ClueLearner
from towers.encoders.clue.model import new_model
from towers.encoders.sequences.fit import Fit
from towers.encoders.sequences.record import num_parameters, pf_days
from towers.encoders.sequences.sequences import Ints

#: The ladder itself, in the ``held_back`` of a run.
NOTHING: Final = "nothing"
#: What can be held back alone, with the fields of a rung that make it.
FACTORS: Final = {
    "model size": ("dim", "layers"),
    "sequence length": ("max_behaviours",),
    "batch size": ("batch_size",),
    "data": ("user_share",),
}
_RUN_FILE: Final = "run.json"


@dataclass(frozen=True)
class Run:
    """One finished run. ``held_back`` names the factor that is the first rung's, or ``nothing``."""

    held_back: str
    dim: int
    layers: int
    max_behaviours: int
    batch_size: int
    train_users: int
    steps: int
    parameters: int
    pf_days: float
    test_loss: float
    seconds: float


@dataclass(frozen=True)
class Users:
    """Who a ladder trains, validates and tests on: disjoint, each in a seeded order."""

    train: Ints
    validation: Ints
    test: Ints


def planned(rungs: tuple[Rung, ...], bottlenecks: bool) -> list[tuple[str, Rung]]:
    """The ladder's runs, and after them the middle rung with one factor held back."""
    ladder = [(NOTHING, rung) for rung in rungs]
    if not bottlenecks:
        return ladder
    middle, first = rungs[2 * len(rungs) // 3], rungs[0]
    return ladder + [
        (factor, middle.model_copy(update={name: getattr(first, name) for name in names}))
        for factor, names in FACTORS.items()
    ]


def run_rung(
    data: TrainingData, users: Users, rung: Rung, held_back: str, config: Config, device: torch.device, folder: Path
) -> Run:
    """Train and test one rung; one that is finished under ``folder`` is read from there."""
    if (folder / _RUN_FILE).is_file():
        return Run(**json.loads((folder / _RUN_FILE).read_text(encoding="utf-8")))
    started = perf_counter()
    count = max(round(rung.user_share * len(users.train)), 2)
    train = np.sort(users.train[:count])
    per_epoch = max(round(count / rung.batch_size), 1)
    epochs = -(-config.encoder_scaling.steps // per_epoch)
    settings = config.clue.model_copy(
        update={
            "dim": rung.dim,
            "layers": rung.layers,
            "heads": rung.dim // 8,
            "feedforward": None,
            "max_behaviours": rung.max_behaviours,
            "batch_size": rung.batch_size,
            "epochs": epochs,
            "patience": epochs,
        }
    )
    own = replace(data, rows=data.rows.newest(rung.max_behaviours), train=train, held_out=users.validation)
    contrast, seed = config.encoder_scaling.contrast, config.run.seed
    learner = ClueLearner(new_model(data.shape(settings), seed).to(device), own, ALONE, contrast)
    state = Fit("clue", settings, seed, device, folder, ALONE).run(learner)
    tested = ClueLearner(state.model, replace(own, held_out=users.test), ALONE, contrast)
    parameters, steps = num_parameters(state.model), epochs * per_epoch
    run = Run(
        held_back=held_back,
        dim=rung.dim,
        layers=rung.layers,
        max_behaviours=rung.max_behaviours,
        batch_size=rung.batch_size,
        train_users=count,
        steps=steps,
        parameters=parameters,
        pf_days=pf_days(parameters, count * epochs, rung.max_behaviours),
        test_loss=tested.held_out_loss(),
        seconds=round(perf_counter() - started, 2),
    )
    folder.mkdir(parents=True, exist_ok=True)
    fresh = folder / (_RUN_FILE + ".new")
    fresh.write_text(json.dumps(asdict(run)), encoding="utf-8")
    fresh.rename(folder / _RUN_FILE)
    return run
