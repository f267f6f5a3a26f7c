"""Task: which items does a user listen to in the next days? (KDD '24, 5.1.1 and table 1.)"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta

from graphkit.downstream.moments import UNTIMED, Moment
from graphkit.downstream.pair_examples import PairExamples, is_new, met_and_random
from graphkit.downstream.pairs import Pairs
from graphkit.downstream.rivals import Rival
from graphkit.downstream.task import NotApplicable
from graphkit.downstream.world import World


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

    def prepare(self, world: World) -> PairExamples | NotApplicable:
        """Training and validation users' examples as of ``fit``, test users' as of ``serve``."""
        if not world.timed:
            return NotApplicable(UNTIMED)
        fit, serve = world.moments
        found = PairExamples.of(world, _examples(world, fit), _examples(world, serve))
        if isinstance(found, NotApplicable):
            return found
        return replace(found, subsets={"new items": is_new(world, serve, found.test)})

    def specialists(self, world: World, rivals: list[Rival]) -> list[Rival]:
        return []


def _examples(world: World, moment: Moment) -> Pairs:
    horizon = timedelta(days=world.settings.horizon_days)
    return met_and_random(world, moment, lambda signals: moment.coming(world.dataset, horizon, signals))
