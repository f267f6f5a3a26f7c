"""Task: which creators will a user follow? (The production model of KDD '24, 5.2.2 and table 3.)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.downstream.figures import Figure
from graphkit.downstream.moments import UNTIMED, Moment
from graphkit.downstream.pair_examples import PairExamples, is_new
from graphkit.downstream.pairs import Pairs, sample_positives, with_negatives
from graphkit.downstream.rivals import Rival
from graphkit.downstream.task import NotApplicable
from graphkit.downstream.world import World

#: The label and the test period are the dataset's own.
_WHOLE: Final = timedelta(days=36_500)

Longs = npt.NDArray[np.int64]


@dataclass(frozen=True)
class CreatorFollow:
    """Creators of items that a user follows (``downstream.follow_signal``) in the label or the test period, and not
    before, beside as many random creators of the same type. A creator is the mean of its items' embeddings."""

    name: str = "creator-follow"

    @property
    def what(self) -> str:
        return (
            "creators that the user starts to follow against as many random ones: accuracy, and the area under the "
            "ROC curve, also over those of creators whom the user had not met at all"
        )

    def prepare(self, world: World) -> CreatorExamples | NotApplicable:
        if not world.timed:
            return NotApplicable(UNTIMED)
        signal = world.settings.follow_signal
        if signal not in world.signals:
            return NotApplicable(f"there is no signal {signal!r} (downstream.follow_signal)")
        items = world.dataset.items().drop_nulls(schemas.CREATOR)
        if not items.height:
            return NotApplicable("no item has a creator")
        creators = replace(world, catalogue=world.catalogue.grouped(items, schemas.CREATOR))
        fit, serve = world.moments
        found = PairExamples.of(creators, _examples(creators, fit), _examples(creators, serve))
        if isinstance(found, NotApplicable):
            return found
        without = world.catalogue.size - items.height
        return CreatorExamples(replace(found, subsets={"new creators": is_new(creators, serve, found.test)}), without)

    def specialists(self, world: World, rivals: list[Rival]) -> list[Rival]:
        return []


@dataclass(frozen=True)
class CreatorExamples:
    """Examples whose items are creators; rows of the ``without`` items that have none count for nothing."""

    examples: PairExamples
    without: int

    @property
    def users(self) -> Longs:
        return self.examples.users

    @property
    def counts(self) -> dict[str, int]:
        creators = self.examples.world.catalogue.size
        return {**self.examples.counts, "creators": creators, "items without a creator": self.without}

    def measure(self, rival: Rival) -> Mapping[str, Figure] | None:
        """The same row, over creators in the place of items."""
        over = rival.over(self.examples.world)
        return None if over is None else self.examples.measure(over)


def _examples(world: World, moment: Moment) -> Pairs:
    settings, follow = world.settings, (world.settings.follow_signal,)
    before = world.catalogue.pairs(moment.known(world.dataset, follow))
    coming = world.catalogue.pairs(moment.coming(world.dataset, _WHOLE, follow))
    new = coming.join(before, on=[schemas.USER, schemas.ITEM], how="anti", maintain_order="left")
    positives = sample_positives(new, settings.max_positives, settings.max_users, world.seed)
    barred = pl.concat([before, coming])
    return with_negatives(moment.name, positives, barred, world.catalogue, np.random.default_rng(world.seed))
