"""Task: which items does a new user listen to in the days after registering? (After KDD '24, 5.2.1 and table 2.)

The paper foresees the four hours after registration themselves. Here a vector is of the end of those hours, in which
logs of a day's grain hold next to nothing, and the week after them is foreseen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from graphkit.downstream.figures import Figure
from graphkit.downstream.moments import UNTIMED, Moment
from graphkit.downstream.pair_examples import PairExamples, met_and_random
from graphkit.downstream.pairs import Pairs
from graphkit.downstream.rivals import Rival
from graphkit.downstream.task import NotApplicable
from graphkit.downstream.world import World

#: New users who meet something, of the label and of the test period, below which figures say nothing.
_MIN_USERS: Final = 20

Longs = npt.NDArray[np.int64]


@dataclass(frozen=True)
class SignUp:
    """Items met by a strong signal within ``downstream.horizon_days`` of a new user's moment, beside as many random
    ones. New users of the label period are trained on, those of the test period are measured."""

    name: str = "sign-up"

    @property
    def what(self) -> str:
        return (
            "items that new users meet in the days that start some hours after registering (sign_up.hours), against "
            "as many random ones of the same types, from what is known of each by then: accuracy, and the area under "
            "the ROC curve, also over users who chose something on registering and who did not"
        )

    def prepare(self, world: World) -> NewUserExamples | NotApplicable:
        if not world.timed:
            return NotApplicable(UNTIMED)
        early, late = (_examples(world, moment) for moment in world.moments)
        for period, pairs in (("label", early), ("test", late)):
            if (count := len(np.unique(pairs.users))) < _MIN_USERS:
                return NotApplicable(
                    f"{count} users are known to have registered in the {period} period and met something in the "
                    f"days after, fewer than {_MIN_USERS}"
                )
        held_out = world.panel.validation
        found = PairExamples(world, early.of(~held_out), early.of(held_out), late)
        if not found.validation.labels.any():
            return NotApplicable("no new user of the label period is left to stop the training")
        chose = world.new_users.chose[late.users]
        return NewUserExamples(replace(found, subsets={"something chosen": chose, "nothing chosen": ~chose}))

    def specialists(self, world: World, rivals: list[Rival]) -> list[Rival]:
        return []


@dataclass(frozen=True)
class NewUserExamples:
    """Examples of users whose vectors are those of their own moments."""

    examples: PairExamples

    @property
    def users(self) -> Longs:
        return self.examples.users

    @property
    def counts(self) -> dict[str, int]:
        return self.examples.counts

    def measure(self, rival: Rival) -> Mapping[str, Figure] | None:
        """A row as of sign-up."""
        own = rival.of_new_users()
        return None if own is None else self.examples.measure(own)


def _examples(world: World, moment: Moment) -> Pairs:
    horizon = timedelta(days=world.settings.horizon_days)
    return met_and_random(world, moment, lambda signals: world.new_users.coming(moment, horizon, signals))
