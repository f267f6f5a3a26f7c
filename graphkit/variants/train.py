"""Training variants: each in a workspace of its own, which takes over every batch that another one has made."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from typing import Any

from graphkit.artefacts import Batch, StageSpec, Workspace
from graphkit.artefacts.batch import MANIFEST
from graphkit.config import Config, load_config
from graphkit.datasets.store import Dataset
from graphkit.errors import ArtefactError, ConfigError
from graphkit.graph.build import TEXT_CACHE
from graphkit.pipeline import command_words, spawn
from graphkit.progress import say, track
from graphkit.variants.overlays import choose
from graphkit.variants.runs import VARIANTS_DIR, Base, VariantRun, upstream_of


def plan_variants(workspace: Workspace, names: Sequence[str], seeds: int) -> list[VariantRun]:
    """The runs that ``names`` and ``seeds`` ask for, the base's own seed first.

    Raises InputError for an unknown name, ArtefactError where the chain is not there to vary, ConfigError for
    fewer seeds than one.
    """
    if seeds < 1:
        raise ConfigError("--seeds asks for no training", expected="1 or more", found=str(seeds))
    base = Base(workspace)
    variants = choose(names)
    return [VariantRun(base, variant, base.seed + step) for step in range(seeds) for variant in variants]


def train_variants(workspace: Workspace, names: Sequence[str] = (), seeds: int = 1) -> list[tuple[VariantRun, bool]]:
    """Train what is not there of ``names`` (nothing: all) under ``seeds`` seeds; each run, and whether it was made.

    A variant differs from the workspace's current batches by its overlay alone. Finished stages are kept, so the
    same call goes on after an interruption. Raises GraphkitError where a stage fails.
    """
    runs = plan_variants(workspace, names, seeds)
    done = []
    for run in track(runs, "training variants", len(runs)):
        made = run.trained() is None
        if made:
            _train(run)
        done.append((run, made))
    return done


def _train(run: VariantRun) -> None:
    found = {stage: run.workspace.adopt(run.base.workspace.current(stage)) for stage in run.base.given}
    share_text_cache(run.base.workspace, run.workspace)
    words = settings_words(run.config, Dataset.open(run.base.batches["dataset"]))
    for stage in run.stages:
        spec = run.spec(stage, upstream_of(stage, found, run.config))
        batch = run.workspace.finished(spec) or _taken_over(run, spec)
        if batch is None:
            say(f"{run.key}: {' '.join(command_words(stage))} …")
            spawn([*command_words(stage), "-w", str(run.workspace.root), "--quiet", *words])
            batch = run.workspace.finished(spec)
        if batch is None:
            raise ArtefactError(
                f"{run.key}: {stage} was made from other settings than asked for",
                where=str(run.workspace.root),
                expected=f"batch {spec.batch_id}",
                found=f"batch {run.workspace.rotation(stage)['current']}",
                fix=f"remove {run.workspace.root} and run the command again",
            )
        found[stage] = batch


def _taken_over(run: VariantRun, spec: StageSpec) -> Batch | None:
    """The same batch from the base or from another variant, if one of them has made it."""
    for other in _siblings(run):
        folder = other.stage_dir(spec.stage) / spec.batch_id
        if (folder / MANIFEST).is_file():
            return run.workspace.adopt(Batch.open(folder))
    return None


def _siblings(run: VariantRun) -> Iterator[Workspace]:
    root = run.base.workspace.root
    yield run.base.workspace
    for folder in sorted((root / VARIANTS_DIR).glob("*/seed-*")):
        yield Workspace(folder)


def share_text_cache(base: Workspace, other: Workspace) -> None:
    """Encoded texts are the same whatever is made of them: one cache for all workspaces under ``base``."""
    ours, theirs = base.root / TEXT_CACHE, other.root / TEXT_CACHE
    if not theirs.exists():
        ours.mkdir(exist_ok=True)
        theirs.symlink_to(os.path.relpath(ours, other.root), target_is_directory=True)


def settings_words(config: Config, dataset: Dataset) -> list[str]:
    """The command-line words that make a stage on ``dataset`` resolve to ``config``."""
    plain = load_config("default", (), dataset.meta.config)
    words = []
    for section, values in config.model_dump(mode="json").items():
        for key, value in values.items():
            if value != _plain(plain, section)[key]:
                words += ["--set", f"{section}.{key}={'none' if value is None else json.dumps(value)}"]
    return words


def _plain(config: Config, section: str) -> dict[str, Any]:
    found: dict[str, Any] = getattr(config, section).model_dump(mode="json")
    return found
