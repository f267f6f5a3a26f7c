"""The encoder ``simclr``: two views of one user's behaviours are drawn together, on CLUE's model."""

from __future__ import annotations

from pathlib import Path

from graphkit.artefacts import StageWork
from graphkit.config import Config
from graphkit.training.distributed import team_of_environment
from towers.encoders.clue.encoder import ContrastiveEncoder, load_encoder
from towers.encoders.clue.learners import SimclrLearner
from towers.encoders.clue.train import Recipe, fit_contrastive, train_contrastive
from towers.encoders.source import Source


def fit(source: Source, config: Config, work: StageWork) -> None:
    """Train on what came before the label period and write the model's files into ``work``."""
    fit_contrastive(source, config, _recipe(config), work)


def follow(source: Source, config: Config, checkpoint_dir: Path) -> None:
    """Train with the process that leads, and write nothing."""
    train_contrastive(source, config, _recipe(config), checkpoint_dir, team_of_environment())


def load(folder: Path) -> ContrastiveEncoder:
    """The encoder of a finished ``fit``."""
    return load_encoder(folder)


def _recipe(config: Config) -> Recipe:
    settings, seed = config.simclr, config.run.seed
    return Recipe(
        "simclr",
        by_service=False,
        settings=settings,
        out_dim=None,
        learner=lambda model, data, team: SimclrLearner(model, data, team, settings, seed),
    )
