"""``graphkit evaluate-users``: every user vector that there is, on tasks that it was not made for.

Files: ``results.parquet`` (task, group, metric, model, value, low, high, difference, difference_low, difference_high,
relative, num_users), ``comparisons.parquet`` (of every pair of models the later one minus the earlier, paired: task,
group, metric, model, peer, value, low, high, p_value, p_holm over all pairs of a task, group and metric, num_users),
``results.json`` (the first, with what each task and row is, counts, what was left out and why, and ``domains``), and
``map.parquet`` (``user_map``). What each row cost is in the manifest.
"""

from __future__ import annotations

import json
from time import perf_counter
from typing import Any, Final

import polars as pl

from graphkit.artefacts import Batch, StageSpec, StageWork, Workspace
from graphkit.config import Config
from graphkit.downstream.domains import domain_correlations
from graphkit.downstream.files import COMPARISONS_FILE, MAP_FILE, RESULTS_FILE, RESULTS_JSON
from graphkit.downstream.hybrid_mf import HybridRival
from graphkit.downstream.pair_model import num_parameters
from graphkit.downstream.popularity import DemographicPopularity
from graphkit.downstream.representations import representations
from graphkit.downstream.rivals import Rival
from graphkit.downstream.table import Row, task_cells
from graphkit.downstream.task import NotApplicable, Task
from graphkit.downstream.tasks import ALL_TASKS
from graphkit.downstream.user_map import user_map
from graphkit.downstream.vector_rival import VectorRival
from graphkit.downstream.world import World
from graphkit.progress import say, track

_PLACE: Final = dict.fromkeys(("task", "group", "metric", "model"), pl.String)
_FIGURES: Final = dict.fromkeys(("value", "low", "high"), pl.Float64)
_AGAINST: Final = dict.fromkeys(("difference", "difference_low", "difference_high", "relative"), pl.Float64)
_CHANCES: Final = dict.fromkeys(("p_value", "p_holm"), pl.Float64)
_USERS: Final = {"num_users": pl.Int64}
_RESULTS: Final = _PLACE | _FIGURES | _AGAINST | _USERS
_COMPARISONS: Final = _PLACE | {"peer": pl.String} | _FIGURES | _CHANCES | _USERS


def evaluate_users(workspace: Workspace, config: Config) -> Batch:
    """Measure frozen user vectors on downstream tasks, beside simple rows (stage ``downstream``).

    Raises ArtefactError where the dataset, the HGNN or a vector that ``downstream.vectors`` names is missing, or
    batches do not belong together; encoders that it leaves out count for nothing.
    """
    upstream = workspace.upstream("downstream", config)
    spec = StageSpec.of("downstream", config, upstream.values())
    if (done := workspace.finished(spec)) is not None:
        return done
    with workspace.begin(spec) as work:
        world = World.of(upstream, config)
        spaces = list(representations(world, upstream))
        rows = (VectorRival(world, space) for space in spaces)
        rivals: list[Rival] = [DemographicPopularity(world), HybridRival(world), *rows]
        found = _Laboratory(world, rivals)
        for task in ALL_TASKS:
            if config.downstream.tasks is None or task.name in config.downstream.tasks:
                found.run(task, config.downstream.bootstrap)
        domains = domain_correlations(world)
        _write(work, found, domains)
        user_map(world, spaces).write_parquet(work.path(MAP_FILE))
        work.data_window = dict(world.dataset.batch.manifest.data_window)
        return work.commit()


class _Laboratory:
    """Runs tasks and collects what they say."""

    def __init__(self, world: World, rivals: list[Rival]) -> None:
        self.world, self.rivals = world, rivals
        self.rows_of: dict[str, Rival] = {}  # by name, also those of one task alone
        self.rows: list[Row] = []
        self.comparisons: list[Row] = []
        self.tasks: dict[str, dict[str, Any]] = {}
        self.left_out: dict[str, str] = {}
        self.seconds: dict[str, float] = {}

    def run(self, task: Task, resamples: int) -> None:
        prepared = task.prepare(self.world)
        if isinstance(prepared, NotApplicable):
            self.left_out[task.name] = prepared.reason
            say(f"{task.name} does not apply: {prepared.reason}")
            return
        self.tasks[task.name] = {"what": task.what, "users": len(prepared.users), **prepared.counts}
        figures = {}
        rivals = [*self.rivals, *task.specialists(self.world, self.rivals)]
        for rival in track(rivals, task.name, len(rivals)):
            self.rows_of[rival.name] = rival
            started = perf_counter()
            if (measured := prepared.measure(rival)) is not None:
                figures[rival.name] = measured
                self.seconds[rival.name] = self.seconds.get(rival.name, 0) + perf_counter() - started
        groups = self.world.panel.groups(prepared.users)
        for cell in task_cells(task.name, figures, groups, resamples, self.world.seed):
            self.rows += cell.rows()
            self.comparisons += cell.comparisons()

    def costs(self) -> list[dict[str, Any]]:
        """What each row of the table took: the making of its vectors (of an encoder its training), and the tasks."""
        return [self._cost(self.rows_of[name]) | {"tasks s": round(took, 1)} for name, took in self.seconds.items()]

    def _cost(self, rival: Rival) -> dict[str, Any]:
        vectors = rival.vectors
        width = vectors.serve.shape[1] if vectors is not None else None
        return {
            "model": rival.name,
            "width": width,
            "MiB of vectors": round(vectors.serve.nbytes / 2**20, 2) if vectors is not None else None,
            "user MLP parameters": num_parameters(width, self.world.settings.hidden) if width else None,
            "vectors made in s": round(vectors.seconds, 1) if vectors is not None else None,
        }


def _write(work: StageWork, found: _Laboratory, domains: list[dict[str, Any]]) -> None:
    table = pl.DataFrame(found.rows, schema=_RESULTS)
    table.write_parquet(work.path(RESULTS_FILE))
    pl.DataFrame(found.comparisons, schema=_COMPARISONS).write_parquet(work.path(COMPARISONS_FILE))
    about = {
        "tasks": found.tasks,
        "models": {name: rival.what for name, rival in found.rows_of.items()},
        "left_out": found.left_out,
        "domains": domains,
        "results": table.to_dicts(),
    }
    work.path(RESULTS_JSON).write_text(json.dumps(about, indent=1), encoding="utf-8")
    work.row_counts = {"results": len(found.rows), "comparisons": len(found.comparisons)}
    work.metrics = {"left out": found.left_out, "costs": found.costs(), "words in common": domains}
