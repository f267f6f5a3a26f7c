"""What an evaluation batch says, as far as claims need it: figures, and users' figures resampled together."""

from __future__ import annotations

import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Final, get_args

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.artefacts import Batch
from graphkit.claims.claim import UserMetric
from graphkit.errors import ArtefactError
from graphkit.evaluation.bootstrap import resampled_means

Row = dict[str, Any]
Floats = npt.NDArray[np.float64]
#: (target type, user group, segment).
Place = tuple[str, str, str]
_METRICS: Final = get_args(UserMetric)


@dataclass(frozen=True)
class Resampled:
    """Users' figures of several models in one place, all resampled by the same draws of users.

    ``mean`` and ``draws`` [resamples] are by (model, metric).
    """

    num_users: int
    mean: dict[tuple[str, str], float]
    draws: dict[tuple[str, str], Floats]


@dataclass(frozen=True)
class Results:
    """An evaluation batch, opened; ``models`` are the ones that are ever compared."""

    batch: Batch
    models: tuple[str, ...]
    resamples: int
    seed: int
    _resampled: dict[Place, Resampled | None] = field(default_factory=dict, init=False)

    @cached_property
    def body(self) -> Row:
        """``results.json``."""
        found: Row = json.loads(self.batch.path("results.json").read_text(encoding="utf-8"))
        return found

    @cached_property
    def _rows(self) -> dict[tuple[str, str, str, str, str], Row]:
        names = ("model", "target_type", "group", "segment", "metric")
        return {tuple(row[name] for name in names): row for row in self.body["results"]}

    def row(self, model: str, place: Place, metric: str) -> Row | None:
        """The result row of a model in one place, None where there is none."""
        return self._rows.get((model, *place, metric))

    def resampled(self, place: Place) -> Resampled | None:
        """``models`` in one place, resampled together; None where there is nobody."""
        if place not in self._resampled:
            self._resampled[place] = self._resample(place)
        return self._resampled[place]

    def _resample(self, place: Place) -> Resampled | None:
        models = [model for model in self.models if model in self._files]
        frames = [self._users(model, place) for model in models]
        if not frames or frames[0].is_empty():
            return None
        _require_same_users(models, frames, place, self.batch)
        sums = np.concatenate([frame.select(_METRICS).to_numpy().astype(np.float64) for frame in frames], axis=1)
        rng = np.random.default_rng([self.seed, zlib.crc32("/".join(place).encode())])
        draws = resampled_means(sums, np.ones(len(sums)), self.resamples, rng)
        columns = [(model, metric) for model in models for metric in _METRICS]
        mean = dict(zip(columns, sums.mean(axis=0).tolist(), strict=True))
        return Resampled(len(sums), mean, dict(zip(columns, draws.T, strict=True)))

    @cached_property
    def _files(self) -> dict[str, Path]:
        """The file of users' figures of each model."""
        found: dict[str, Path] = {}
        for path in sorted(self.batch.path("users").glob("*.parquet")):
            name = pl.scan_parquet(path).select("model").head(1).collect()
            found |= dict.fromkeys(name["model"], path)
        return found

    def _users(self, model: str, place: Place) -> pl.DataFrame:
        target_type, group, segment = place
        chosen = (pl.col("target_type") == target_type) & (pl.col("segment") == segment)
        if group != "all":
            chosen &= pl.col("warm") == (group == "warm")
        rows = pl.scan_parquet(self._files[model]).filter(chosen).select(schemas.USER, *_METRICS)
        return rows.sort(schemas.USER).collect()


def _require_same_users(models: Sequence[str], frames: Sequence[pl.DataFrame], place: Place, batch: Batch) -> None:
    first = frames[0][schemas.USER]
    for model, frame in zip(models, frames, strict=True):
        if not frame[schemas.USER].equals(first):
            raise ArtefactError(
                "two models of one evaluation were not measured on the same users",
                where=f"{batch.path('users')}, {', '.join(place)}",
                expected=f"the {len(first):,} users of {models[0]}",
                found=f"{frame.height:,} of {model}",
                fix="run `graphkit evaluate` again",
            )
