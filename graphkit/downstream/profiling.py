"""Tasks: what can be told of a person from the frozen vector alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from graphkit import schemas
from graphkit.downstream.early_stopping import seeded, train
from graphkit.downstream.figures import Averaged, Figure, MeanFigure
from graphkit.downstream.pair_model import mlp
from graphkit.downstream.panel import sample_users
from graphkit.downstream.popularity import DemographicPopularity
from graphkit.downstream.rivals import Rival
from graphkit.downstream.task import NotApplicable
from graphkit.downstream.world import World

#: Rarer values are left out: there is nothing to learn from.
_MIN_USERS: Final = 20
#: Years at which age bands start, but for the first.
_AGE_EDGES: Final = (25, 35, 45, 55, 65)

Longs = npt.NDArray[np.int64]


class Attribute(NamedTuple):
    """``read`` takes the users table to one text a user, null where not known."""

    what: str
    read: Callable[[pl.DataFrame], pl.Series]


def _age_band(users: pl.DataFrame) -> pl.Series:
    """As ``0 to 24``, ``25 to 34``, …, ``65 or more``."""
    labels = [*(f"{low} to {high - 1}" for low, high in pairwise((0, *_AGE_EDGES))), f"{_AGE_EDGES[-1]} or more"]
    band = pl.sum_horizontal((pl.col(schemas.AGE) >= edge).cast(pl.Int64) for edge in _AGE_EDGES)
    named = band.replace_strict(dict(enumerate(labels)), return_dtype=pl.String)
    return users.select(pl.when(pl.col(schemas.AGE).is_not_null()).then(named)).to_series()


ATTRIBUTES: Final[Mapping[str, Attribute]] = {
    "country": Attribute("country", lambda users: users[schemas.COUNTRY]),
    "age": Attribute(f"age band (from {', '.join(map(str, _AGE_EDGES))} years on)", _age_band),
}


@dataclass(frozen=True)
class Profile:
    """An attribute, by the papers' MLP on vectors as of the cut-off: learned from some users, told of others.

    An encoder may have been given the attribute; then the task tells what of it is still in the vector.
    """

    attribute: str  # a key of ``ATTRIBUTES``

    @property
    def name(self) -> str:
        return f"profile-{self.attribute}"

    @property
    def what(self) -> str:
        return (
            f"a user's {ATTRIBUTES[self.attribute].what} from the vector as of the cut-off: accuracy, and recall "
            "averaged over the values; the row popularity always says the commonest value"
        )

    def prepare(self, world: World) -> ProfiledUsers | NotApplicable:
        """Users of whom a value and a row before the cut-off are known."""
        values = ATTRIBUTES[self.attribute].read(world.dataset.users().sort(schemas.USER))
        known = values.is_not_null().to_numpy() & (world.panel.activity > 0)
        training = known & world.panel.training
        counts = values.filter(training).value_counts(sort=False)
        kept = counts.filter(pl.col("count") >= _MIN_USERS)[counts.columns[0]].sort().to_list()
        if len(kept) < 2:
            return NotApplicable(f"fewer than two values that {_MIN_USERS} training users have")
        places = list(range(len(kept)))
        numbered = values.replace_strict(kept, places, default=-1, return_dtype=pl.Int64)
        number = numbered.to_numpy(writable=True)  # torch takes no other
        found = ProfiledUsers(world, number, len(kept), int((known & (number < 0)).sum()))
        return (
            found if len(found.users) and found.part(world.panel.validation).size else NotApplicable("too few users")
        )

    def specialists(self, world: World, rivals: list[Rival]) -> list[Rival]:
        return []


@dataclass(frozen=True)
class ProfiledUsers:
    """``values`` int64 [num_users], -1 where a user takes no part."""

    world: World
    values: Longs
    num_values: int
    num_rare: int

    def part(self, users: npt.NDArray[np.bool_]) -> Longs:
        """Who of the part takes part, at most ``downstream.max_users``."""
        mine = np.flatnonzero(users & (self.values >= 0) & (self.world.panel.activity > 0))
        return sample_users(mine, self.world.settings.max_users, self.world.seed)

    @property
    def users(self) -> Longs:
        return self.part(self.world.panel.test)

    @property
    def counts(self) -> dict[str, int]:
        training = len(self.part(self.world.panel.training))
        return {"training users": training, "values": self.num_values, "users of a rare value": self.num_rare}

    def measure(self, rival: Rival) -> Mapping[str, Figure] | None:
        if (vectors := rival.vectors) is not None:
            seeds = range(self.world.settings.seeds)
            runs = [self._figures(self._predicted(vectors.serve, self.world.seed + seed)) for seed in seeds]
        elif isinstance(rival, DemographicPopularity):
            common = np.bincount(self.values[self.part(self.world.panel.training)]).argmax()
            runs = [self._figures(np.full(len(self.users), common))]
        else:
            return None
        return {metric: Averaged([run[metric] for run in runs]) for metric in runs[0]}

    def _figures(self, predicted: Longs) -> dict[str, Figure]:
        truth = self.values[self.users]
        right = (predicted == truth).astype(np.float64)
        by_value = [
            MeanFigure(right * (truth == value), (truth == value).astype(np.float64))
            for value in range(self.num_values)
            if (truth == value).any()
        ]
        return {"accuracy": MeanFigure(right, np.ones(len(truth))), "mean recall": Averaged(by_value)}

    def _predicted(self, serve: npt.NDArray[np.float32], seed: int) -> Longs:
        panel, settings = self.world.panel, self.world.settings
        seeded(seed, self.world.threads)
        vectors, values = torch.from_numpy(serve), torch.from_numpy(self.values)
        training, held_out, asked = (
            torch.from_numpy(self.part(part)) for part in (panel.training, panel.validation, panel.test)
        )
        model = mlp(vectors[training], [*settings.hidden, self.num_values])

        def loss(places: Tensor) -> Tensor:
            return cross_entropy(model(vectors[training[places]]), values[training[places]])

        def validation_loss() -> Tensor:
            return cross_entropy(model(vectors[held_out]), values[held_out])

        train(model, loss, len(training), validation_loss, settings, seed)
        with torch.no_grad():
            found: Longs = model(vectors[asked]).argmax(dim=1).numpy()
        return found
