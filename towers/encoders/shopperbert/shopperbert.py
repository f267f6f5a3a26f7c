"""The encoder ``shopperbert``: its training, its files, and the vectors of users."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch

from graphkit.artefacts import StageWork
from graphkit.config import Config
from graphkit.progress import say
from graphkit.training.device import choose_device, precision_name, prepare
from graphkit.training.distributed import Team, team_of_environment
from graphkit.training.model_file import MODEL_FILE, read_model, write_model
from graphkit.training.state import TrainingState
from towers.encoders.sequences.fit import Fit
from towers.encoders.sequences.layout import Layout
from towers.encoders.sequences.record import training_facts, write_training
from towers.encoders.shopperbert.data import Products, TrainingData, read_training_data
from towers.encoders.shopperbert.learner import ShopperbertLearner, to_tokens
from towers.encoders.shopperbert.model import Shopperbert, ShopperbertShape
from towers.encoders.source import Source
from towers.encoders.users import Users

NAME: Final = "shopperbert"
#: Sequences encoded at a time, at most.
_ROWS: Final = 512

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Trained:
    """A finished training."""

    data: TrainingData
    state: TrainingState[Shopperbert]
    device: str
    facts: dict[str, Any]


class ShopperbertEncoder:
    """Encodes users by the mean over their behaviours' hidden vectors, or by that of [CLS]."""

    def __init__(self, model: Shopperbert, products: Products, layout: Layout) -> None:
        self.device = choose_device("auto")
        self.model, self.products, self.layout = model.to(self.device).eval(), products, layout

    @property
    def dim(self) -> int:
        return self.model.shape.dim

    @torch.no_grad()
    def encode(self, users: Users) -> Floats:
        """The users' vectors, float32 [users.count, dim]; zeros for a user without a behaviour."""
        rows = self.layout.sequences(users, None)
        out = np.zeros((users.count, self.dim), np.float32)
        for start in range(0, len(rows), _ROWS):
            some = rows.take(np.arange(start, min(start + _ROWS, len(rows))))
            nothing = np.zeros(len(some.items), dtype=bool)
            tokens = to_tokens(
                self.products, self.products.values(some), some.items, nothing, some.indptr, self.device
            )
            out[some.users] = self.model(tokens)[0].cpu().numpy()
        return out


def fit(source: Source, config: Config, work: StageWork) -> None:
    """Train on what came before the label period and write the model's files into ``work``."""
    team = team_of_environment()
    if team.world > 1:
        team.share(lambda: {"checkpoint_dir": str(work.checkpoint_dir)})
    trained = _train(source, config, work.checkpoint_dir, team)
    data, model = trained.data, trained.state.model.cpu()
    write_model(work.folder / MODEL_FILE, model, model.shape.model_dump_json())
    data.products.save(work.folder)
    data.layout.save(work.folder)
    write_training(work, trained.state)
    work.device = trained.device
    work.metrics |= trained.facts
    work.row_counts |= {"users trained on": len(data.train), "users held out": len(data.held_out)}


def follow(source: Source, config: Config, checkpoint_dir: Path) -> None:
    """Train with the process that leads, and write nothing."""
    _train(source, config, checkpoint_dir, team_of_environment())


def load(folder: Path) -> ShopperbertEncoder:
    """The encoder of a finished ``fit``; raises ArtefactError where its model cannot be read."""
    model = read_model(folder / MODEL_FILE, ShopperbertShape, Shopperbert, "train the encoder again")
    return ShopperbertEncoder(model, Products.load(folder), Layout.load(folder))


def _train(source: Source, config: Config, checkpoint_dir: Path, team: Team) -> Trained:
    settings, seed = config.shopperbert, config.run.seed
    device = choose_device(settings.device, team.local_rank, f"{NAME}.device")
    prepare(device, config.run.threads, team.local_world)
    data = read_training_data(source, settings, seed)
    levels = data.products.levels
    tasks = list(data.products.tasks.items())
    shape = ShopperbertShape(
        dim=settings.dim,
        layers=settings.layers,
        heads=settings.heads,
        feedforward=settings.feedforward or 4 * settings.dim,
        dropout=settings.dropout,
        max_behaviours=settings.max_behaviours,
        timed=data.timed,
        text_dim=data.products.text.shape[1],
        categories=dict(tasks[:levels]),
        dates=dict(tasks[levels:]),
        cls=settings.variant == "cls",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Shopperbert(shape).to(device)
    together = f", {team.world} processes" if team.world > 1 else ""
    how = f"on {device} in {precision_name(settings.precision, device)}{together}"
    users = f"{len(data.train)} users, {len(data.held_out)} held out"
    say(f"training {NAME} {how}: {users}; predicts {', '.join(data.products.tasks)}")
    run = Fit(NAME, settings, seed, device, checkpoint_dir, team)
    state = run.run(ShopperbertLearner(model, data, settings, seed))
    facts = training_facts(run, state, len(data.train)) | {"predicts": list(data.products.tasks)}
    return Trained(data, state, str(device), facts)
