"""Stage ``blend``: what the towers weigh beside the edges, chosen where both are trained on a hold-out from train.

The chain's own train rows cannot tell: the graph knows them. File: ``blend.json`` with ``towers_weight`` by
"type/warm" and "type/cold", and ``ndcg``, the NDCG@10 of every weight tried.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from graphkit.artefacts import Batch, Workspace
from graphkit.blend.holdout import train_on_holdout
from graphkit.blend.weights import BLEND_FILE
from graphkit.config import Config
from graphkit.datasets.store import Dataset
from graphkit.edge_weights.scorer import Blend, EdgeScorer
from graphkit.edge_weights.stage import read_edges
from graphkit.evaluation.groups import COLD, WARM, TargetTask, read_tasks
from graphkit.evaluation.recommender import Recommender
from graphkit.evaluation.validation import sampled, validation_ndcg
from graphkit.evaluation.vector_models import DotProduct
from graphkit.pipeline import BLENDED, stage_spec
from graphkit.progress import track
from graphkit.stages import ENCODERS
from graphkit.vectors import ITEM_VECTORS_FILE, USER_VECTORS_FILE, load_vectors

#: Octaves: a weight half or twice as large ranks about alike.
WEIGHTS: Final = tuple(2.0**power for power in range(-4, 8))


def tune_blend(workspace: Workspace, config: Config) -> Batch:
    """Choose the towers' weight beside the edges (stage ``blend``), per target type, for warm and for cold users.

    Trains the chain once more on a hold-out cut from train, under the settings of the current graph, HGNN, towers and
    edges, and ranks the held-out rows under every weight. Test rows are not read. Raises ArtefactError where the
    chain is not there yet.
    """
    settings = _current_settings(workspace, config)
    spec = stage_spec(workspace, "blend", config)
    if (done := workspace.finished(spec)) is not None:
        return done
    holdout = train_on_holdout(workspace, settings)
    with workspace.begin(spec) as work:
        ndcg: dict[str, list[float]] = {}
        seed = config.run.seed
        dataset, batches = Dataset.current(holdout), holdout.upstream("bundle")
        edges = read_edges(batches["edges"], dataset)
        vectors = load_vectors(batches["towers"].path(USER_VECTORS_FILE))["user"]
        towers = DotProduct("towers", vectors, load_vectors(batches["towers"].path(ITEM_VECTORS_FILE)))
        for item_type, task in track(read_tasks(dataset).items(), "blend", len(dataset.meta.targets)):
            some = sampled(task, settings.edges.max_validation_users, seed)
            ndcg |= {f"{item_type}/{group}": found for group, found in _curves(edges, towers, some, seed).items()}
        chosen = {cell: best_weight(curve) for cell, curve in ndcg.items()}
        about = {"towers_weight": chosen, "weights": WEIGHTS, "ndcg": ndcg}
        work.path(BLEND_FILE).write_text(json.dumps(about, indent=1), encoding="utf-8")
        work.metrics = {f"{cell} weight": weight for cell, weight in chosen.items()}
        work.data_window = dict(dataset.batch.manifest.data_window)
        return work.commit()


def best_weight(ndcg: Sequence[float]) -> float:
    """The weight that is best on average with its two neighbours, so that one lucky figure does not decide.

    ``ndcg`` are the figures of ``WEIGHTS``. Of equal ones the one nearest to 1 is taken.
    """
    padded = np.concatenate([ndcg[:1], ndcg, ndcg[-1:]])
    smooth = np.round((padded[:-2] + padded[1:-1] + padded[2:]) / 3, 9)
    best = np.flatnonzero(smooth == smooth.max())
    return WEIGHTS[int(best[np.argmin(np.abs(np.log2(np.array(WEIGHTS)[best])))])]


def _curves(edges: EdgeScorer, towers: Recommender, task: TargetTask, seed: int) -> dict[str, list[float]]:
    """Mean NDCG@10 under each of ``WEIGHTS`` of the warm and of the cold users, where there are any."""
    values: list[npt.NDArray[np.float64]] = []
    for weight in WEIGHTS:
        cells = {f"{task.item_type}/{group}": weight for group in (WARM, COLD)}
        values.append(validation_ndcg(Blend("blend", edges, towers, cells), task, seed))
    members = {group: task.members(group) for group in (WARM, COLD)}
    return {group: [float(v[rows].mean()) for v in values] for group, rows in members.items() if len(rows)}


def _current_settings(workspace: Workspace, config: Config) -> Config:
    """``config`` with the settings under which the current stages were made."""
    found = config.model_dump(mode="json")
    used = workspace.peek("towers").manifest.upstream
    for stage in (*(name for name in used if name in ENCODERS), *BLENDED):
        found |= workspace.peek(stage).manifest.settings
    return Config.model_validate(found)
