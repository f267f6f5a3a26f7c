"""What a batch is made from: enough to know its id before any work is done."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from graphkit.artefacts.batch import SCHEMA_VERSION, Batch
from graphkit.artefacts.disk import fingerprint
from graphkit.config import Config
from graphkit.config.base import Section
from graphkit.stages import ALL_STAGES


@dataclass(frozen=True)
class StageSpec:
    """What a batch is made from: enough to know its id before any work is done.

    ``settings`` are the config sections the stage reads; ``inputs`` names source files with their hashes.
    """

    stage: str
    settings: dict[str, Any]
    seed: int
    upstream: tuple[Batch, ...] = ()
    inputs: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        stage: str,
        config: Config,
        upstream: Iterable[Batch] = (),
        inputs: Mapping[str, str] | None = None,
    ) -> StageSpec:
        """The spec of ``stage`` under ``config``, made from ``upstream`` batches and source files ``inputs``."""
        names = ("run", *ALL_STAGES[stage].sections)
        chosen: dict[str, Section] = {name: getattr(config, name) for name in names}
        settings = {
            name: section.model_dump(mode="json", exclude=set(section.not_identity))
            for name, section in chosen.items()
        }
        return cls(stage, settings, config.run.seed, tuple(upstream), dict(inputs or {}))

    @property
    def upstream_ids(self) -> dict[str, str]:
        return {batch.manifest.stage: batch.id for batch in self.upstream}

    @property
    def batch_id(self) -> str:
        parts = (
            SCHEMA_VERSION + ALL_STAGES[self.stage].revision,
            version("graphkit"),
            self.stage,
            self.settings,
            self.upstream_ids,
            self.inputs,
        )
        return fingerprint(parts)[:12]


def version(package: str) -> str:
    """The installed version of a package; empty where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
