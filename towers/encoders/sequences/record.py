"""What is noted of a training run, and how much computing it took, in the unit of the scaling laws."""

from __future__ import annotations

import json
from typing import Any, Final

from torch import nn

from graphkit.artefacts import StageWork
from graphkit.training.device import precision_name
from graphkit.training.state import TrainingState
from towers.encoders.sequences.fit import Fit, Model

#: Floating-point operations of a day at 10^15 a second.
PF_DAY: Final = 8.64e19
TRAINING_FILE: Final = "training.json"


def num_parameters(model: nn.Module) -> int:
    """How many numbers are learned."""
    return sum(parameter.numel() for parameter in model.parameters())


def pf_days(parameters: int, users: float, sequence_length: int) -> float:
    """6 x parameters x users trained on (batch size x steps) x sequence length, in PF-days (CLUE, section 5.2)."""
    return 6 * parameters * users * sequence_length / PF_DAY


def training_facts(fit: Fit, state: TrainingState[Model], num_examples: int) -> dict[str, Any]:
    """What a manifest says of the training."""
    parameters = num_parameters(state.model)
    facts = {
        "val_loss": state.best_record["val_loss"],
        "best_epoch": state.best_epoch,
        "epochs": len(state.epochs),
        "parameters": parameters,
        "pf_days": pf_days(parameters, num_examples * len(state.epochs), fit.settings.max_behaviours),
        "precision": precision_name(fit.settings.precision, fit.device),
        "processes": fit.team.world,
    }
    if state.seconds:  # nothing was trained here if the checkpoint already held the last epoch
        facts["users_per_second"] = round(state.examples / state.seconds, 1)
    return facts


def write_training(work: StageWork, state: TrainingState[Model]) -> None:
    """Write ``training.json``: a record an epoch."""
    body = {"epochs": state.epochs, "best_epoch": state.best_epoch}
    work.path(TRAINING_FILE).write_text(json.dumps(body, indent=1), encoding="utf-8")
