"""Stage ``blend``: what the towers and what is popular weigh beside the edges, chosen on a hold-out from train.

The chain's own train rows cannot tell: the graph knows them. File: ``blend.json`` with ``towers_weight`` and
``popularity_weight`` by "type/warm" and "type/cold", and ``ndcg``, the NDCG@10 of every pair of weights tried.
"""

from __future__ import annotations

import json
from typing import Final

import numpy as np
import numpy.typing as npt

from graphkit.artefacts import Batch, Workspace
from graphkit.blend.holdout import train_on_holdout
from graphkit.blend.popular import popular_parts
from graphkit.blend.scorer import in_spreads
from graphkit.blend.weights import BLEND_FILE
from graphkit.config import Config
from graphkit.datasets.store import Dataset
from graphkit.edge_weights.scorer import EdgeScorer
from graphkit.edge_weights.stage import read_edges
from graphkit.evaluation.groups import COLD, WARM, TargetTask, read_tasks
from graphkit.evaluation.recommender import Floats, Recommender
from graphkit.evaluation.top_items import tie_order
from graphkit.evaluation.validation import BLOCK_SCORES, ndcg_of, sampled
from graphkit.evaluation.vector_models import DotProduct
from graphkit.pipeline import BLENDED, stage_spec
from graphkit.progress import track
from graphkit.stages import ENCODERS
from graphkit.vectors import ITEM_VECTORS_FILE, USER_VECTORS_FILE, load_vectors

#: Of the towers. Octaves: a weight half or twice as large ranks about alike.
WEIGHTS: Final = tuple(2.0**power for power in range(-4, 8))
#: Of what is popular.
POPULARITY_WEIGHTS: Final = (0.0, *(2.0**power for power in range(-2, 5)))

Grid = npt.NDArray[np.float64]


def tune_blend(workspace: Workspace, config: Config) -> Batch:
    """Choose what the towers and what is popular weigh beside the edges (stage ``blend``), per target type, for warm
    and for cold users.

    Trains the chain once more on a hold-out cut from train, under the settings of the current graph, HGNN, towers and
    edges, and ranks the held-out rows under every pair of weights. Test rows are not read. Raises ArtefactError
    where the chain is not there yet.
    """
    settings = _current_settings(workspace, config)
    spec = stage_spec(workspace, "blend", config)
    if (done := workspace.finished(spec)) is not None:
        return done
    holdout = train_on_holdout(workspace, settings)
    with workspace.begin(spec) as work:
        ndcg: dict[str, Grid] = {}
        seed = config.run.seed
        dataset, batches = Dataset.current(holdout), holdout.upstream("bundle")
        edges = read_edges(batches["edges"], dataset)
        vectors = load_vectors(batches["towers"].path(USER_VECTORS_FILE))["user"]
        towers = DotProduct("towers", vectors, load_vectors(batches["towers"].path(ITEM_VECTORS_FILE)))
        popular = popular_parts(dataset, config.blend.popularity_days)
        for item_type, task in track(read_tasks(dataset).items(), "blend", len(dataset.meta.targets)):
            some = sampled(task, settings.edges.max_validation_users, seed)
            found = _grids(edges, towers, popular[item_type], some, seed)
            ndcg |= {f"{item_type}/{group}": grid for group, grid in found.items()}
        chosen = {cell: best_weights(grid) for cell, grid in ndcg.items()}
        about = {
            "towers_weight": {cell: weight for cell, (weight, _) in chosen.items()},
            "popularity_weight": {cell: weight for cell, (_, weight) in chosen.items()},
            "weights": {"towers": WEIGHTS, "popularity": POPULARITY_WEIGHTS},
            "ndcg": {cell: grid.tolist() for cell, grid in ndcg.items()},
        }
        work.path(BLEND_FILE).write_text(json.dumps(about, indent=1), encoding="utf-8")
        work.metrics = {f"{cell} weights": f"towers {w:g}, popular {p:g}" for cell, (w, p) in chosen.items()}
        work.data_window = dict(dataset.batch.manifest.data_window)
        return work.commit()


def best_weights(ndcg: Grid) -> tuple[float, float]:
    """The towers' and the popular part's weights that are best on average with their neighbours, so that one lucky
    figure does not decide.

    ``ndcg`` [len(WEIGHTS), len(POPULARITY_WEIGHTS)]. Of equal ones that of the towers nearest to 1 is taken, then the
    least of what is popular.
    """
    padded = np.pad(ndcg, 1, mode="edge")
    smooth = np.round(np.lib.stride_tricks.sliding_window_view(padded, (3, 3)).mean(axis=(2, 3)), 9)
    towers, popular = np.nonzero(smooth == smooth.max())
    first = np.lexsort((popular, np.abs(np.log2(np.array(WEIGHTS)[towers]))))[0]
    return WEIGHTS[int(towers[first])], POPULARITY_WEIGHTS[int(popular[first])]


def _grids(edges: EdgeScorer, towers: Recommender, popular: Floats, task: TargetTask, seed: int) -> dict[str, Grid]:
    """Mean NDCG@10 under each pair of weights of the warm and of the cold users, where there are any."""
    ties, rows = tie_order(task.num_items, seed), max(1, BLOCK_SCORES // max(1, task.num_items))
    values = np.zeros((len(WEIGHTS), len(POPULARITY_WEIGHTS), len(task.users)))
    for start in range(0, len(task.users), rows):
        users = task.users[start : start + rows]
        along, dots = (in_spreads(model.scores(users, task.item_type)) for model in (edges, towers))
        for w, weight in enumerate(WEIGHTS):
            both = along + np.float32(weight) * dots
            for p, popularity in enumerate(POPULARITY_WEIGHTS):
                scores = both + np.float32(popularity) * popular
                values[w, p, start : start + rows] = ndcg_of(scores, task, users, ties)
    members = {group: task.members(group) for group in (WARM, COLD)}
    return {group: values[:, :, rows].mean(axis=2) for group, rows in members.items() if len(rows)}


def _current_settings(workspace: Workspace, config: Config) -> Config:
    """``config`` with the settings under which the current stages were made."""
    found = config.model_dump(mode="json")
    used = workspace.peek("towers").manifest.upstream
    for stage in (*(name for name in used if name in ENCODERS), *BLENDED):
        found |= workspace.peek(stage).manifest.settings
    return Config.model_validate(found)
