"""``graphkit encoder-scaling``: CLUE trained over decades of computing, and the power law of its test loss.

Files: ``scaling.json`` (the runs, the law, what it says of the largest run) and ``scaling.svg``.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np

from graphkit.artefacts import Batch, StageSpec, Workspace
from graphkit.config import Config
from graphkit.datasets.store import Dataset
from graphkit.errors import InputError
from graphkit.power_law import PowerLaw, fit_power_law
from graphkit.progress import say
from graphkit.training.device import choose_device, prepare
from towers.encoders.clue.data import TrainingData, read_training_data
from towers.encoders.scaling.chart import draw_scaling
from towers.encoders.scaling.runs import NOTHING, Run, Users, planned, run_rung
from towers.encoders.source import Source

STAGE = "encoder-scaling"


def scale_encoder(workspace: Workspace, config: Config) -> Batch:
    """Train CLUE on every rung, fit loss against PF-days on all but the largest, and predict that one.

    Runs that are finished are kept after an interruption. Raises InputError for too few users.
    """
    upstream = workspace.upstream(STAGE)
    spec = StageSpec.of(STAGE, config, upstream.values())
    if (done := workspace.finished(spec)) is not None:
        return done
    settings = config.encoder_scaling
    with workspace.begin(spec) as work:
        device = choose_device(config.clue.device, where="clue.device")
        prepare(device, config.run.threads)
        longest = max(rung.max_behaviours for rung in settings.rungs)
        wide = config.clue.model_copy(update={"max_behaviours": longest})
        source = Source(Dataset.open(upstream["dataset"]), upstream)
        data = read_training_data(source, wide, by_service=True, seed=config.run.seed)
        users = part_users(data, settings.test_users, settings.validation_users, config.run.seed)
        plan, runs = planned(settings.rungs, settings.bottlenecks), []
        for number, (held_back, rung) in enumerate(plan, start=1):
            folder = work.checkpoint_dir / str(number)
            run = run_rung(data, users, rung, held_back, config, device, folder)
            found = f"{run.pf_days:.3g} PF-days, test loss {run.test_loss:.4f}, {run.seconds} s"
            say(f"run {number}/{len(plan)}: {found}")
            runs.append(run)
        law, summary = judge(runs)
        body = {"runs": [asdict(run) for run in runs], "law": asdict(law), **summary}
        work.path("scaling.json").write_text(json.dumps(body, indent=1), encoding="utf-8")
        work.path("scaling.svg").write_text(draw_scaling(runs, law), encoding="utf-8")
        work.device = str(device)
        work.row_counts = {
            "training users": len(users.train),
            "validation users": len(users.validation),
            "test users": len(users.test),
        }
        work.metrics = summary
        return work.commit()


def judge(runs: list[Run]) -> tuple[PowerLaw, dict[str, Any]]:
    """The law of all ladder runs but the last, and whether the last is where the law says."""
    ladder = [run for run in runs if run.held_back == NOTHING]
    law = fit_power_law([run.pf_days for run in ladder[:-1]], [run.test_loss for run in ladder[:-1]])
    largest = ladder[-1]
    predicted = law.predict(largest.pf_days)
    return law, {
        "decades": round(float(np.log10(largest.pf_days / ladder[0].pf_days)), 2),
        "exponent": asdict(law.exponent),
        "r_squared": law.r_squared,
        "largest": {"test_loss": largest.test_loss, "predicted": asdict(predicted)},
        "largest_within": predicted.holds(largest.test_loss),
    }


def part_users(data: TrainingData, test: int, validation: int, seed: int) -> Users:
    """Disjoint users, the same for every run; raises InputError where too few are left to train on."""
    every = np.random.default_rng([seed, 5]).permutation(np.concatenate([data.train, data.held_out]))
    held, rest = every[: test + validation], every[test + validation :]
    if len(rest) < len(held):
        raise InputError(
            "too few users for a scaling run",
            expected=f"at least {2 * (test + validation)} with behaviours in two services",
            found=str(len(every)),
            fix="lower encoder_scaling.test_users and encoder_scaling.validation_users, or take a larger dataset",
        )
    return Users(rest, np.sort(held[test:]), np.sort(held[:test]))
