"""What tasks of telling positive from negative pairs have in common: the parts, accuracy and AUC."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.downstream.figures import AucFigure, Averaged, Figure, MeanFigure
from graphkit.downstream.moments import Moment
from graphkit.downstream.pairs import Pairs, sample_positives, with_negatives
from graphkit.downstream.rivals import Rival, Scorer
from graphkit.downstream.task import NotApplicable
from graphkit.downstream.world import World

Longs = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class PairExamples:
    """The examples of each part of the users; ``subsets`` bool [test examples] have an AUC of their own."""

    world: World
    training: Pairs
    validation: Pairs
    test: Pairs
    subsets: Mapping[str, Bools] = field(default_factory=dict)

    @classmethod
    def of(cls, world: World, early: Pairs, late: Pairs) -> PairExamples | NotApplicable:
        """Training and validation users' examples of ``early``, test users' of ``late``."""
        panel = world.panel
        found = cls(world, early.of(panel.training), early.of(panel.validation), late.of(panel.test))
        empty = [name for name, pairs in found.parts.items() if not pairs.labels.any()]
        if empty:
            return NotApplicable(f"no {' and no '.join(empty)} user has a positive example")
        return found

    @property
    def parts(self) -> dict[str, Pairs]:
        return {"training": self.training, "validation": self.validation, "test": self.test}

    @property
    def users(self) -> Longs:
        return np.unique(self.test.users)

    @property
    def counts(self) -> dict[str, int]:
        return {f"{name} examples": len(part.users) for name, part in self.parts.items()}

    def measure(self, rival: Rival) -> Mapping[str, Figure]:
        return over_seeds(self.world, rival, self.training, self.validation, self._figures)

    def _figures(self, scorer: Scorer) -> dict[str, Figure]:
        scores, labels = scorer.pairs(self.test), self.test.labels
        place = np.searchsorted(self.users, self.test.users)
        right = np.bincount(place, (scores > 0) == labels, len(self.users)).astype(np.float64)
        total = np.bincount(place, minlength=len(self.users)).astype(np.float64)
        whole: dict[str, Figure] = {"accuracy": MeanFigure(right, total), "AUC": AucFigure(scores, labels, place)}
        return whole | {
            f"AUC, {name}": AucFigure(scores[part], labels[part], place[part]) for name, part in self.subsets.items()
        }


def met_and_random(world: World, moment: Moment, coming: Callable[[tuple[str, ...]], pl.LazyFrame]) -> Pairs:
    """Items met by a strong signal in the rows that ``coming`` gives of some signals, of at most
    ``downstream.max_users`` users, beside as many random ones of the same types that are met by none."""
    settings, catalogue = world.settings, world.catalogue
    met, barred = catalogue.pairs(coming(world.strong)), catalogue.pairs(coming(world.signals))
    positives = sample_positives(met, settings.max_positives, settings.max_users, world.seed)
    return with_negatives(moment.name, positives, barred, catalogue, np.random.default_rng(world.seed))


def is_new(world: World, moment: Moment, pairs: Pairs) -> Bools:
    """Which pairs' items their user had not met before the moment, by any signal."""
    known = world.catalogue.pairs(moment.known(world.dataset, world.signals)).with_columns(known=pl.lit(True))
    frame = pl.DataFrame({schemas.USER: pairs.users, schemas.ITEM: pairs.items})
    joined = frame.join(known, on=[schemas.USER, schemas.ITEM], how="left", maintain_order="left")
    return joined["known"].is_null().to_numpy()


def over_seeds(
    world: World, rival: Rival, training: Pairs, validation: Pairs, figures: Callable[[Scorer], dict[str, Figure]]
) -> dict[str, Figure]:
    """The figures of ``downstream.seeds`` trainings of a row, averaged; of one where nothing is random."""
    seeds = range(world.settings.seeds if rival.trained else 1)
    runs = [figures(rival.fit(training, validation, world.seed + seed)) for seed in seeds]
    return {metric: Averaged([run[metric] for run in runs]) for metric in runs[0]}
