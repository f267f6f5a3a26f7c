"""A hand-made evaluation batch in the stage's own format, from per-user figures: for tests of claims and report."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np
import polars as pl

from graphkit.artefacts import Batch, StageSpec, Workspace
from graphkit.config import load_config
from graphkit.datasets.store import Dataset

CONFIG = load_config("default", ["evaluation.bootstrap=200"])
OURS = "2T-HGNN"
BLEND = "2T-HGNN + edges"
PEERS = ("Popularity", "Popularity, 90 days", "Item-kNN", "EASE", "ALS", "NMF", "LightGCN", "Hybrid MF", "LLM-KNN")
ABLATIONS = (
    "A) w/o balanced sampler", "B) w/o weak signals", "C) w/o established-established", "D) w/o sparse-sparse",
    "E) sparse-sparse only", "F) established-established only", "w/o text", "w/o debiasing", "w/o history",
    "with autoencoder", "with CLUE", "with ShopperBERT",
)  # fmt: skip
LEARNED = ("HGNN", "HGNN-w-users", "2T", OURS)
EVERY_MODEL = (*PEERS, *LEARNED[:-1], *ABLATIONS, OURS)
TIERS = tuple(f"tier {i}" for i in range(1, 6))
SEGMENTS = ("all", *TIERS, "tail", "new")
USER_METRICS = ("HR@10", "Recall@20", "NDCG@10", "MRR@100")
NUM_USERS = 400

_TEXTS, _NUMBERS = ("model", "peer", "target_type", "group", "metric"), ("value", "low", "high", "p_value", "p_holm")
_COMPARISONS = dict.fromkeys(_TEXTS, pl.String) | dict.fromkeys(_NUMBERS, pl.Float64) | {"num_users": pl.Int64}

Figures = Mapping[str, Any]


def noisy(mean: float, seed: int = 0, spread: float = 0.02) -> Any:
    """Figures of ``NUM_USERS`` users around ``mean``, never negative."""
    return np.maximum(np.random.default_rng(seed).normal(mean, spread, NUM_USERS), 0)


def write_evaluation(
    workspace: Workspace,
    figures: Figures,
    coverage: Mapping[str, tuple[float, float | None, int]] | None = None,
    spread: float | None = None,
    seeds: int = 1,
    left_out: Mapping[str, str] | None = None,
    examples: list[Any] | None = None,
) -> Batch:
    """The evaluation of the current dataset: every user's every metric of a model is ``figures[model][user]``.

    Even users are warm. ``coverage`` maps a model to value, spread and seeds; ``seeds`` and ``spread`` are those of
    the user metrics of trained models.
    """
    dataset = Dataset.current(workspace)
    targets = dataset.meta.targets
    warm = np.arange(NUM_USERS) % 2 == 0
    members = {"warm": warm, "cold": ~warm, "all": np.ones_like(warm)}
    trained = [model for model in figures if model not in PEERS]
    ours = BLEND if BLEND in figures else OURS
    results, comparisons = [], []
    with workspace.begin(StageSpec.of("evaluation", CONFIG, [dataset.batch])) as work:
        for number, (model, values) in enumerate(figures.items()):
            _users(model, np.asarray(values, float), targets, warm).write_parquet(
                work.path(f"users/{number:02}.parquet")
            )
            of_model = (spread, seeds) if model in trained else (None, 1)
            for target, group, segment in product((*targets, "all"), members, SEGMENTS):
                place = {"model": model, "target_type": target, "group": group, "segment": segment}
                mean = float(np.mean(np.asarray(values, float)[members[group]]))
                results += _rows(place, mean, *of_model, int(members[group].sum()))
                share = (coverage or {}).get(model, (0.2, *of_model))
                results += _list_rows(place, share, int(members[group].sum()))
        for model, peer in product(figures, figures):
            if list(figures).index(model) > list(figures).index(peer):
                for target, group in product((*targets, "all"), members):
                    chosen = members[group]
                    difference = float(
                        np.mean(np.asarray(figures[model])[chosen] - np.asarray(figures[peer])[chosen])
                    )
                    place = {"model": model, "peer": peer, "target_type": target, "group": group}
                    comparisons += _compared(place, difference, int(chosen.sum()))
        pl.DataFrame(results, infer_schema_length=None).write_parquet(work.path("results.parquet"))
        pl.DataFrame(comparisons, schema=_COMPARISONS).write_parquet(work.path("comparisons.parquet"))
        body = {
            "level": 0.95,
            "definitions": {"HR@K": "share of users with a hit"},
            "correction": "p_holm: Holm's correction",
            "models": {model: f"what {model} is" for model in figures},
            "trained": trained,
            "seeds": {model: seeds if model in trained else 1 for model in figures},
            "left_out": dict(left_out or {}),
            "ours": ours,
            "sparse_type": targets[0],
            "counts": {t: {"warm": 200, "cold": 200, "no_history": 3, "test_items": 800} for t in targets},
            "tiers": {t: [{"segment": s, "items": 3, "train_share": 0.2} for s in SEGMENTS] for t in targets},
            "results": results,
            "comparisons": [row for row in comparisons if row["model"] == ours],
        }
        work.path("results.json").write_text(json.dumps(body))
        work.path("examples.json").write_text(json.dumps(examples or []))
        return work.commit()


def _users(model: str, values: Any, targets: tuple[str, ...], warm: Any) -> pl.DataFrame:
    frames = [
        pl.DataFrame(
            {
                "model": [model] * NUM_USERS,
                "target_type": [target] * NUM_USERS,
                "user": np.arange(NUM_USERS, dtype=np.uint32),
                "warm": warm,
                "segment": [segment] * NUM_USERS,
                "num_positives": np.full(NUM_USERS, 2, np.uint32),
                **{metric: values.astype(np.float32) for metric in (*USER_METRICS, "Novelty@10")},
            }
        )
        for target, segment in product(targets, SEGMENTS)
    ]
    return pl.concat(frames)


def _rows(place: dict[str, Any], mean: float, spread: float | None, seeds: int, num_users: int) -> list[Any]:
    metrics = (*USER_METRICS, *(("Novelty@10",) if place["segment"] == "all" else ()))
    ends = {"value": mean, "low": mean - 0.01, "high": mean + 0.01, "spread": spread, "num_seeds": seeds}
    return [place | {"metric": metric} | ends | {"num_users": num_users} for metric in metrics]


def _list_rows(place: dict[str, Any], share: tuple[float, float | None, int], num_users: int) -> list[Any]:
    metrics = ("Coverage@10", "Coverage@100", *(("Gini@10",) if place["segment"] == "all" else ()))
    value, spread, seeds = share
    ends = {"value": value, "low": None, "high": None, "spread": spread, "num_seeds": seeds}
    return [place | {"metric": metric} | ends | {"num_users": num_users} for metric in metrics]


def _compared(place: dict[str, Any], difference: float, num_users: int) -> list[Any]:
    ends = {"value": difference, "low": difference - 0.01, "high": difference + 0.01}
    chances = {"p_value": 0.01, "p_holm": 0.2 if place["peer"] == "EASE" else 0.04, "num_users": num_users}
    return [place | {"metric": metric} | ends | chances for metric in (*USER_METRICS, "Novelty@10")]
