"""Stage ``evaluation``: 2T-HGNN and its peers on the held-out rows, warm and cold, with intervals.

Files: ``results.parquet`` (model, target_type, group, metric, value, low, high, num_users),
``comparisons.parquet`` (2T-HGNN minus each peer, paired; the same columns and ``peer``), ``results.json``
(both, with the counts and the definitions, for people and scripts).
"""

from __future__ import annotations

import json
from typing import Any, Final

import polars as pl

from graphkit.artefacts import Batch, StageSpec, StageWork, Workspace
from graphkit.config import Config
from graphkit.datasets.store import Dataset
from graphkit.errors import DataError
from graphkit.evaluation.bootstrap import LEVEL
from graphkit.evaluation.groups import ALL, TargetTask, read_tasks
from graphkit.evaluation.metrics import DEFINITIONS
from graphkit.evaluation.models import OURS, Entry, read_models
from graphkit.evaluation.ranking import Ranked, rank_users
from graphkit.evaluation.tables import Row, tabulate
from graphkit.progress import track

RESULTS_FILE: Final = "results.parquet"
COMPARISONS_FILE: Final = "comparisons.parquet"
RESULTS_JSON: Final = "results.json"

_PLACE: Final = {"target_type": pl.String, "group": pl.String, "metric": pl.String}
_FIGURES: Final = {"value": pl.Float64, "low": pl.Float64, "high": pl.Float64, "num_users": pl.Int64}
_RESULTS: Final = {"model": pl.String} | _PLACE | _FIGURES
_COMPARISONS: Final = {"model": pl.String, "peer": pl.String} | _PLACE | _FIGURES


def evaluate(workspace: Workspace, config: Config) -> Batch:
    """Rank the whole catalogue of each target type for every test user, and write the result tables.

    Raises ArtefactError where the towers were trained on another dataset, graph or HGNN than the current
    ones, DataError where no user has a test item.
    """
    upstream = workspace.upstream("evaluation")
    spec = StageSpec.of("evaluation", config, upstream.values())
    if (done := workspace.finished(spec)) is not None:
        return done
    with workspace.begin(spec) as work:
        dataset = Dataset.open(upstream["dataset"])
        tasks = read_tasks(dataset)
        _require_test_users(dataset, tasks)
        entries = read_models(dataset, upstream, config.evaluation)
        rankings = _rank(entries, tasks, config.run.seed)
        results, comparisons = tabulate(tasks, rankings, OURS, config.evaluation.bootstrap, config.run.seed)
        _write(work, entries, tasks, results, comparisons)
        work.row_counts = {"results": len(results), "comparisons": len(comparisons)}
        work.metrics = _headline(results)
        work.data_window = dict(dataset.batch.manifest.data_window)
        return work.commit()


def _require_test_users(dataset: Dataset, tasks: dict[str, TargetTask]) -> None:
    if any(len(task.users) for task in tasks.values()):
        return
    raise DataError(
        "no user has anything to predict in the test period",
        where=str(dataset.batch.folder),
        expected=f"users with train rows, and test rows by {', '.join(dataset.meta.strong)} of items new to them",
        found="; ".join(f"{name}: {task.num_no_history} users, none with history" for name, task in tasks.items()),
        fix="make the dataset again with another split.cutoff or split.horizon_days",
    )


def _rank(entries: list[Entry], tasks: dict[str, TargetTask], seed: int) -> dict[str, dict[str, Ranked]]:
    return {
        entry.model.name: {item_type: rank_users(entry.model, task, seed) for item_type, task in tasks.items()}
        for entry in track(entries, "ranking", len(entries))
    }


def _write(
    work: StageWork,
    entries: list[Entry],
    tasks: dict[str, TargetTask],
    results: list[Row],
    comparisons: list[Row],
) -> None:
    pl.DataFrame(results, schema=_RESULTS).write_parquet(work.path(RESULTS_FILE))
    pl.DataFrame(comparisons, schema=_COMPARISONS).write_parquet(work.path(COMPARISONS_FILE))
    body = {
        "level": LEVEL,
        "definitions": DEFINITIONS,
        "models": {entry.model.name: entry.what for entry in entries},
        "ours": OURS,
        "counts": {item_type: task.counts for item_type, task in tasks.items()},
        "results": results,
        "comparisons": comparisons,
    }
    work.path(RESULTS_JSON).write_text(json.dumps(body, indent=1), encoding="utf-8")


def _headline(results: list[Row]) -> dict[str, Any]:
    """HR@10 of every model over all target types, by user group: enough for a list of batches."""
    found: dict[str, Any] = {}
    for row in results:
        if row["target_type"] == ALL and row["metric"] == "HR@10":
            found.setdefault(f"HR@10, {row['group']} users", {})[row["model"]] = round(row["value"], 4)
    return found
