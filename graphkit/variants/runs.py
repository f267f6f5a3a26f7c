"""One training of a variant: where it is, what it would be made from, and whether that is what is there."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from graphkit.artefacts import Batch, StageSpec, Workspace
from graphkit.config import Config, load_config
from graphkit.errors import ArtefactError
from graphkit.schemas import DATASET_FILE
from graphkit.stages import ENCODERS, USER_VECTORS
from graphkit.text import model_identity
from graphkit.variants.overlays import BASE, Variant, read_variants

VARIANTS_DIR: Final = "variants"
_TRAINED: Final = ("graph", "hgnn", "towers")


@dataclass(frozen=True)
class Base:
    """The current dataset, graph, HGNN and towers of a workspace: what variants differ from."""

    workspace: Workspace

    @cached_property
    def batches(self) -> dict[str, Batch]:
        """The current batches, unchecked; raises ArtefactError where one is missing."""
        found = {stage: self.workspace.peek(stage) for stage in ("dataset", *_TRAINED)}
        found |= {
            stage: self.workspace.peek(stage) for stage in found["towers"].manifest.upstream if stage not in found
        }
        for stage, batch in found.items():
            for name, used in batch.manifest.upstream.items():
                if used != found[name].id:
                    raise ArtefactError(
                        f"the current {stage} was made from another {name} batch than the current one",
                        where=str(batch.folder),
                        expected=f"{name} batch {used}",
                        found=f"{name} batch {found[name].id}",
                        fix="run `graphkit run` first",
                    )
        return found

    @cached_property
    def config(self) -> Config:
        """The settings behind the current batches; of what none of them was made with, the chain's own defaults."""
        made = [*self._encoders, *(batch for stage, batch in self.batches.items() if stage not in self.given)]
        settings = {section: values for batch in made for section, values in batch.manifest.settings.items()}
        card = json.loads(self.batches["dataset"].path(DATASET_FILE).read_text(encoding="utf-8"))["config"]
        return Config.model_validate(load_config("default", (), card).model_dump() | settings)

    @property
    def _encoders(self) -> list[Batch]:
        """The current batches of user encoders that were made from the current ones, whoever reads them."""
        there = [self.workspace.peek(name) for name in ENCODERS if self.workspace.has(name)]
        now = {stage: batch.id for stage, batch in self.batches.items()}
        return [batch for batch in there if batch.manifest.upstream.items() <= now.items()]

    @property
    def given(self) -> dict[str, Batch]:
        """What no variant makes anew: the dataset, and the user vectors that were imported."""
        return {stage: batch for stage, batch in self.batches.items() if stage in ("dataset", USER_VECTORS)}

    @property
    def seed(self) -> int:
        return self.config.run.seed


@dataclass(frozen=True)
class VariantRun:
    """A variant trained with one seed. The base under its own seed is the workspace itself."""

    base: Base
    variant: Variant
    seed: int

    @property
    def workspace(self) -> Workspace:
        if self.is_base:
            return self.base.workspace
        return Workspace(self.base.workspace.root / VARIANTS_DIR / self.variant.name / f"seed-{self.seed}")

    @property
    def is_base(self) -> bool:
        return self.variant.name == BASE and self.seed == self.base.seed

    @property
    def key(self) -> str:
        return f"{self.variant.name}/seed-{self.seed}"

    @cached_property
    def config(self) -> Config:
        return self.variant.config(self.base.config, self.seed)

    @property
    def stages(self) -> tuple[str, ...]:
        return self.variant.stages(self.base.config)

    def spec(self, stage: str, upstream: Sequence[Batch]) -> StageSpec:
        """What ``stage`` of this run is made from."""
        inputs = {"text_model": model_identity(self.config.text.model)} if stage == "graph" else {}
        return StageSpec.of(stage, self.config, upstream, inputs)

    def trained(self) -> dict[str, Batch] | None:
        """The run's batches by stage if each is what this variant of the base would be made from now; else None."""
        found = self.base.given
        for stage in self.stages:
            spec = self.spec(stage, upstream_of(stage, found, self.config))
            if self.workspace.rotation(stage)["current"] != spec.batch_id:
                return None
            found[stage] = self.workspace.peek(stage)
        return found


def upstream_of(stage: str, batches: dict[str, Batch], config: Config) -> list[Batch]:
    """Those of ``batches`` that ``stage`` reads under ``config``."""
    return [batches[name] for name in config.stage(stage).upstream]


def trained_runs(workspace: Workspace) -> list[VariantRun]:
    """Every trained run that is a variant of what is current now, but the base itself; stale ones are left out."""
    folder, base = workspace.root / VARIANTS_DIR, Base(workspace)
    if not folder.is_dir() or not all(map(workspace.has, ("dataset", *_TRAINED))):
        return []
    found = []
    for variant in read_variants().values():
        seeds = sorted(int(path.name.removeprefix("seed-")) for path in _seeds(folder / variant.name))
        runs = [VariantRun(base, variant, seed) for seed in seeds]
        found += [run for run in runs if not run.is_base and run.trained() is not None]
    return found


def run_inputs(workspace: Workspace) -> dict[str, str]:
    """The content of every trained run, for the id of an evaluation that reads them."""
    found = {}
    for run in trained_runs(workspace):
        batches = run.trained()
        assert batches is not None  # narrows for mypy
        found[run.key] = batches[run.stages[-1]].content_hash
    return found


def _seeds(folder: Path) -> list[Path]:
    return [path for path in folder.glob("seed-*") if path.name.removeprefix("seed-").isdecimal()]
