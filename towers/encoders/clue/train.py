"""Training CLUE or SimCLR: from a source to a model, and what is noted of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graphkit.artefacts import StageWork
from graphkit.config import Config
from graphkit.config.sequence_encoders import TextSequenceSection
from graphkit.progress import say
from graphkit.training.device import choose_device, precision_name, prepare
from graphkit.training.distributed import Team, team_of_environment
from graphkit.training.state import TrainingState
from towers.encoders.clue.data import TrainingData, read_training_data
from towers.encoders.clue.encoder import save_encoder
from towers.encoders.clue.model import Contrastive, new_model
from towers.encoders.clue.transfer import carry_over
from towers.encoders.sequences.fit import Fit, Learner
from towers.encoders.sequences.record import training_facts, write_training
from towers.encoders.source import Source


@dataclass(frozen=True)
class Recipe:
    """What tells the two encoders apart: the section ``name`` of the configuration, how sequences are parted, the
    width of the output layer, and what is learned a batch."""

    name: str
    by_service: bool
    settings: TextSequenceSection
    out_dim: int | None
    learner: Callable[[Contrastive, TrainingData, Team], Learner[Contrastive]]


@dataclass(frozen=True)
class Trained:
    """A finished training."""

    data: TrainingData
    state: TrainingState[Contrastive]
    device: str
    facts: dict[str, Any]


def train_contrastive(source: Source, config: Config, recipe: Recipe, checkpoint_dir: Path, team: Team) -> Trained:
    """Read, train, and leave the best model loaded; called by every process of ``team``."""
    settings, seed = recipe.settings, config.run.seed
    device = choose_device(settings.device, team.local_rank, f"{recipe.name}.device")
    prepare(device, config.run.threads, team.local_world)
    data = read_training_data(source, settings, recipe.by_service, seed)
    model = new_model(data.shape(settings, recipe.out_dim), seed).to(device)
    learner = recipe.learner(model, data, team)
    together = f", {team.world} processes" if team.world > 1 else ""
    _announce(recipe.name, data, f"on {device} in {precision_name(settings.precision, device)}{together}")
    fit = Fit(recipe.name, settings, seed, device, checkpoint_dir, team)
    state = fit.run(learner)
    facts = training_facts(fit, state, learner.num_examples) | {
        "services": data.layout.service_rows,
        "scale": round(float(state.model.scale.detach()), 4),
        "items_without_text": data.catalogue.without_text,
    }
    return Trained(data, state, str(device), facts)


def fit_contrastive(source: Source, config: Config, recipe: Recipe, work: StageWork) -> None:
    """Train with the team of the environment, of which this process leads, and write the model's files.

    Where a pretrained model is named, nothing is trained.
    """
    if recipe.settings.pretrained is not None:
        carry_over(source, recipe.name, recipe.settings, recipe.by_service, work)
        return
    team = team_of_environment()
    if team.world > 1:
        team.share(lambda: {"checkpoint_dir": str(work.checkpoint_dir)})
    trained = train_contrastive(source, config, recipe, work.checkpoint_dir, team)
    model = trained.state.model.cpu()
    save_encoder(work.folder, model, trained.data.catalogue, trained.data.layout)
    write_training(work, trained.state)
    work.device = trained.device
    work.metrics |= trained.facts
    work.row_counts |= {
        "users trained on": len(trained.data.train),
        "users held out": len(trained.data.held_out),
        "items": len(trained.data.catalogue.tokens),
    }


def _announce(name: str, data: TrainingData, how: str) -> None:
    say(f"training {name} {how}: {len(data.train)} users, {len(data.held_out)} held out")
    if data.catalogue.without_text:
        of = f"{data.catalogue.without_text} of {len(data.catalogue.tokens)} items"
        say(f"{of} have no text: all that is known of them is their service")
