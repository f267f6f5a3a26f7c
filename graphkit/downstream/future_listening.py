"""Task: which items does a user listen to in the next days? (KDD '24, 5.1.1 and table 1.)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.downstream.figures import AucFigure, Averaged, Figure, MeanFigure
from graphkit.downstream.moments import UNTIMED, Moment
from graphkit.downstream.pairs import Pairs, sample_positives, with_negatives
from graphkit.downstream.rivals import Rival, Scorer
from graphkit.downstream.task import NotApplicable
from graphkit.downstream.world import World

Longs = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class FutureListening:
    """Items met by a strong signal within ``downstream.horizon_days`` of a moment, beside as many random ones."""

    name: str = "future-listening"

    @property
    def what(self) -> str:
        return (
            "items of the next days against as many random ones of the same types: accuracy, and the area under the "
            "ROC curve over all users' examples, also over those of items that are new to their user"
        )

    def prepare(self, world: World) -> FutureExamples | NotApplicable:
        """Training and validation users' examples as of ``fit``, test users' as of ``serve``."""
        if not world.timed:
            return NotApplicable(UNTIMED)
        fit, serve = world.moments
        early, late = _examples(world, fit), _examples(world, serve)
        test = late.of(world.panel.test)
        found = FutureExamples(
            world, early.of(world.panel.training), early.of(world.panel.validation), test, _is_new(world, serve, test)
        )
        parts = {"training": found.training, "validation": found.validation, "test": test}
        empty = [name for name, part in parts.items() if not len(part.users)]
        if empty:
            return NotApplicable(
                f"no {' and no '.join(empty)} user listens within {world.settings.horizon_days} days of the moment"
            )
        return found


@dataclass(frozen=True)
class FutureExamples:
    """The examples of each part; ``new`` says which test items their user had not met before."""

    world: World
    training: Pairs
    validation: Pairs
    test: Pairs
    new: Bools

    @property
    def users(self) -> Longs:
        return np.unique(self.test.users)

    @property
    def counts(self) -> dict[str, int]:
        parts = {"training": self.training, "validation": self.validation, "test": self.test}
        return {f"{name} examples": len(part.users) for name, part in parts.items()}

    def measure(self, rival: Rival) -> Mapping[str, Figure]:
        seeds = range(self.world.settings.seeds if rival.trained else 1)
        runs = [self._run(rival.fit(self.training, self.validation, self.world.seed + seed)) for seed in seeds]
        return {metric: Averaged([run[metric] for run in runs]) for metric in runs[0]}

    def _run(self, scorer: Scorer) -> dict[str, Figure]:
        scores, labels = scorer(self.test), self.test.labels
        place = np.searchsorted(self.users, self.test.users)
        right = np.bincount(place, (scores > 0) == labels, len(self.users)).astype(np.float64)
        total = np.bincount(place, minlength=len(self.users)).astype(np.float64)
        return {
            "accuracy": MeanFigure(right, total),
            "AUC": AucFigure(scores, labels, place),
            "AUC, new items": AucFigure(scores[self.new], labels[self.new], place[self.new]),
        }


def _examples(world: World, moment: Moment) -> Pairs:
    """Examples of every part's users, no more users of each part than its share of ``downstream.max_users``."""
    horizon, settings = timedelta(days=world.settings.horizon_days), world.settings
    met = world.catalogue.pairs(moment.coming(world.dataset, horizon, world.strong))
    barred = world.catalogue.pairs(moment.coming(world.dataset, horizon, world.signals))
    positives = sample_positives(met, settings.max_positives, settings.max_users, world.seed)
    return with_negatives(moment.name, positives, barred, world.catalogue, np.random.default_rng(world.seed))


def _is_new(world: World, moment: Moment, pairs: Pairs) -> Bools:
    """Which pairs' items their user had not met before the moment, by any signal."""
    known = world.catalogue.pairs(moment.known(world.dataset, world.signals)).with_columns(known=pl.lit(True))
    frame = pl.DataFrame({schemas.USER: pairs.users, schemas.ITEM: pairs.items})
    joined = frame.join(known, on=[schemas.USER, schemas.ITEM], how="left", maintain_order="left")
    return joined["known"].is_null().to_numpy()
