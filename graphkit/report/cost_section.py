"""The page's table of stages, what each cost, what each was made from, and under which settings."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from graphkit.artefacts import Batch
from graphkit.report.formatting import ABSENT, duration, memory
from graphkit.stages import ALL_STAGES, STAGES


class StageRow(NamedTuple):
    """One stage's batch."""

    stage: str
    batch_id: str
    seconds: str
    peak_memory: str
    device: str
    back_end: str
    upstream: str
    created_at: str


@dataclass(frozen=True)
class CostSection:
    """Everything the template shows about the run itself."""

    stages: list[StageRow]
    missing: list[tuple[str, str]]
    stale: list[str]
    total: str
    settings: list[tuple[str, str]]
    packages: str


def cost_section(batches: Mapping[str, Batch]) -> CostSection:
    """Read the section off the manifests of ``batches``, by stage."""
    manifests = [batch.manifest for batch in batches.values()]
    packages = {name: version for manifest in manifests for name, version in manifest.packages.items()}
    return CostSection(
        stages=[_row(batch) for batch in batches.values()],
        missing=[(n, stage.command) for n, stage in STAGES.items() if n not in batches and n != "report"],
        stale=[note for batch in batches.values() for note in _stale(batch, batches)],
        total=duration(sum(manifest.wall_seconds for manifest in manifests)),
        settings=[(manifest.stage, _settings(manifest.settings)) for manifest in manifests],
        packages=", ".join(f"{name} {version}" for name, version in sorted(packages.items())),
    )


def _row(batch: Batch) -> StageRow:
    manifest = batch.manifest
    return StageRow(
        manifest.stage,
        batch.id,
        duration(manifest.wall_seconds),
        memory(manifest.peak_memory_bytes),
        manifest.device,
        str(manifest.metrics.get("neighbours") or ABSENT),
        ", ".join(f"{stage} {batch_id}" for stage, batch_id in manifest.upstream.items()) or ABSENT,
        manifest.created_at,
    )


def _stale(batch: Batch, batches: Mapping[str, Batch]) -> list[str]:
    """Where a batch was made from another batch than its stage's current one."""
    return [
        f"{batch.manifest.stage} was made from {stage} {used}, the current one is {batches[stage].id}: "
        f"run `{ALL_STAGES[batch.manifest.stage].command}` again"
        for stage, used in batch.manifest.upstream.items()
        if stage in batches and batches[stage].id != used
    ]


def _settings(settings: Mapping[str, Mapping[str, object]]) -> str:
    """``section.key = value`` lines, as ``--set`` takes them."""
    return "\n".join(
        f"{section}.{key} = {json.dumps(value)}"
        for section, table in settings.items()
        for key, value in table.items()
    )
