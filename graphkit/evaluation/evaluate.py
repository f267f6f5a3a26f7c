"""Stage ``evaluation``: every model on the held-out rows, warm and cold, by popularity tier, with intervals.

Files: ``results.parquet`` (model, target_type, group, segment, metric, value, low, high, spread over training
seeds, num_seeds, num_users), ``comparisons.parquet`` (of every pair of models the later one minus the earlier,
paired: model, peer, target_type, group, metric, value, low, high, p_value, p_holm, num_users), ``users/`` (each
user's figures, ``rank_models``), ``examples.json`` (lists to be read) and ``results.json`` (the first two, the
comparisons of ours alone, with the counts and the definitions, for people and scripts).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import polars as pl

from graphkit import schemas
from graphkit.artefacts import Batch, StageSpec, StageWork, Workspace
from graphkit.config import Config
from graphkit.datasets.store import Dataset
from graphkit.errors import ConfigError, DataError, did_you_mean
from graphkit.evaluation.bootstrap import LEVEL
from graphkit.evaluation.comparisons import CORRECTION
from graphkit.evaluation.entries import Entry
from graphkit.evaluation.examples import read_examples
from graphkit.evaluation.groups import ALL, TargetTask, read_tasks
from graphkit.evaluation.metrics import DEFINITIONS, USER_METRICS, is_user_metric
from graphkit.evaluation.models import BLEND, OURS, Models, read_models
from graphkit.evaluation.rank_models import USERS_DIR, rank_models
from graphkit.evaluation.ranking import Ranker
from graphkit.evaluation.segments import WHOLE, Segments, segment_items
from graphkit.evaluation.tables import Row, Table, cells
from graphkit.graph.roles import SPARSE, type_roles
from graphkit.parallel import thread_count
from graphkit.variants.runs import run_inputs, trained_runs

RESULTS_FILE: Final = "results.parquet"
COMPARISONS_FILE: Final = "comparisons.parquet"
RESULTS_JSON: Final = "results.json"
EXAMPLES_FILE: Final = "examples.json"

_PLACE: Final = {"target_type": pl.String, "group": pl.String}
_FIGURES: Final = {"metric": pl.String, "value": pl.Float64, "low": pl.Float64, "high": pl.Float64}
_SEEDS: Final = {"spread": pl.Float64, "num_seeds": pl.Int64}
_USERS: Final = {"num_users": pl.Int64}
_RESULTS: Final = {"model": pl.String} | _PLACE | {"segment": pl.String} | _FIGURES | _SEEDS | _USERS
_CHANCES: Final = {"p_value": pl.Float64, "p_holm": pl.Float64}
_COMPARISONS: Final = {"model": pl.String, "peer": pl.String} | _PLACE | _FIGURES | _CHANCES | _USERS


def evaluate(workspace: Workspace, config: Config) -> Batch:
    """Rank the whole catalogue of each target type for every test user, and write the result tables.

    Models: the tuned peers, and whatever of the HGNN, the towers and their trained variants is there. Raises
    ArtefactError where the towers were trained on another dataset, graph or HGNN than the current ones, ConfigError
    for a model, type or metric that is not there, DataError where no user has a test item.
    """
    upstream = workspace.upstream("evaluation")
    spec = StageSpec.of("evaluation", config, upstream.values(), run_inputs(workspace))
    if (done := workspace.finished(spec)) is not None:
        return done
    metrics = _metrics(config)
    with workspace.begin(spec) as work:
        dataset = Dataset.open(upstream["dataset"])
        tasks = _tasks(dataset, config)
        rankers = _rankers(dataset, tasks, metrics, config)
        models = read_models(dataset, upstream, trained_runs(workspace), config)
        totals = rank_models(models.entries, rankers, work.path(f"{USERS_DIR}/any").parent)
        table = Table(totals, metrics, config.evaluation.bootstrap, config.run.seed)
        results, comparisons = table.rows(list(cells(tasks, config.evaluation.groups)))
        ours = _ours(models.entries)
        examples = read_examples(dataset, ours.runs[0][0].load(), rankers, config.evaluation.examples)
        work.path(EXAMPLES_FILE).write_text(json.dumps(examples, indent=1, ensure_ascii=False), encoding="utf-8")
        about = _about(dataset, models, ours, rankers)
        _write(work, about, results, comparisons)
        work.row_counts = {"results": len(results), "comparisons": len(comparisons)}
        work.metrics = _headline(results)
        work.data_window = dict(dataset.batch.manifest.data_window)
        return work.commit()


def _metrics(config: Config) -> tuple[str, ...]:
    for name in config.evaluation.extra_metrics:
        if not is_user_metric(name):
            raise ConfigError(
                f"evaluation.extra_metrics: no metric {name!r}",
                expected="HR, Recall, NDCG or MRR at a length from 1 to 100, as NDCG@20",
            )
    return tuple(dict.fromkeys((*USER_METRICS, *config.evaluation.extra_metrics)))


def _tasks(dataset: Dataset, config: Config) -> dict[str, TargetTask]:
    tasks = read_tasks(dataset)
    for name in config.evaluation.types or ():
        if name not in tasks:
            raise ConfigError(f"evaluation.types: no target type {name!r}", expected=did_you_mean(name, tasks))
    chosen = {name: task for name, task in tasks.items() if name in (config.evaluation.types or tasks)}
    if any(len(task.users) for task in chosen.values()):
        return chosen
    raise DataError(
        "no user has anything to predict in the test period",
        where=str(dataset.batch.folder),
        expected=f"users with train rows, and test rows by {', '.join(dataset.meta.strong)} of items new to them",
        found="; ".join(f"{name}: {task.num_no_history} users, none with history" for name, task in chosen.items()),
        fix="make the dataset again with another split.cutoff or split.horizon_days",
    )


def _rankers(
    dataset: Dataset, tasks: Mapping[str, TargetTask], metrics: tuple[str, ...], config: Config
) -> dict[str, Ranker]:
    seed, threads = config.run.seed, thread_count(config.run.threads)
    return {
        name: Ranker(task, _segments(dataset, task, seed), metrics, dataset.meta.num_users, seed, threads)
        for name, task in tasks.items()
    }


def _segments(dataset: Dataset, task: TargetTask, seed: int) -> Segments:
    rows = dataset.interactions(schemas.TRAIN).filter(pl.col(schemas.ITEM_TYPE) == task.item_type)
    met = rows.select(schemas.ITEM).unique().collect()[schemas.ITEM].to_numpy()
    known = np.zeros(task.num_items, dtype=bool)
    known[met] = True
    return segment_items(np.bincount(task.masked.items, minlength=task.num_items), known, seed)


def _ours(entries: list[Entry]) -> Entry:
    """What the bundle serves, else 2T-HGNN, else the table's last row."""
    named = {entry.name: entry for entry in entries}
    return named.get(BLEND) or named.get(OURS) or entries[-1]


def _about(dataset: Dataset, models: Models, ours: Entry, rankers: Mapping[str, Ranker]) -> dict[str, Any]:
    """What the tables need to be read."""
    return {
        "level": LEVEL,
        "definitions": DEFINITIONS,
        "correction": CORRECTION,
        "models": {entry.name: entry.what for entry in models.entries},
        "trained": [entry.name for entry in models.entries if entry.trained],
        "seeds": {entry.name: len(entry.runs) for entry in models.entries},
        "left_out": models.left_out,
        "ours": ours.name,
        "sparse_type": type_roles(dataset)[SPARSE][0],
        "counts": {item_type: ranker.task.counts for item_type, ranker in rankers.items()},
        "tiers": {item_type: ranker.segments.summary() for item_type, ranker in rankers.items()},
    }


def _write(work: StageWork, about: dict[str, Any], results: list[Row], comparisons: list[Row]) -> None:
    pl.DataFrame(results, schema=_RESULTS).write_parquet(work.path(RESULTS_FILE))
    pl.DataFrame(comparisons, schema=_COMPARISONS).write_parquet(work.path(COMPARISONS_FILE))
    ours = [row for row in comparisons if row["model"] == about["ours"]]
    body = about | {"results": results, "comparisons": ours}
    work.path(RESULTS_JSON).write_text(json.dumps(body, indent=1), encoding="utf-8")


def _headline(results: list[Row]) -> dict[str, Any]:
    """HR@10 of every model over all target types, by user group: enough for a list of batches."""
    found: dict[str, Any] = {}
    for row in results:
        if (row["target_type"], row["segment"], row["metric"]) == (ALL, WHOLE, "HR@10"):
            found.setdefault(f"HR@10, {row['group']} users", {})[row["model"]] = round(row["value"], 4)
    return found
