"""What makes users alike: sparse 0/1 [num_users, labels], of what is known at the cut-off alone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, NamedTuple

import numpy as np
import polars as pl
from scipy import sparse

from graphkit import schemas
from graphkit.downstream.world import World

#: A user's favourites: so many creators of the most strong rows.
_FAVOURITES: Final = 3
#: Who registered longer ago is no new user.
_NEW_DAYS: Final = 90
_LABEL: Final = "label"


class Label(NamedTuple):
    """``read`` gives the labels, or why there are none."""

    what: str
    read: Callable[[World], Any | str]


def _favourite_creators(world: World) -> Any | str:
    return _as_matrix(world, most_met(world, schemas.CREATOR, _FAVOURITES))


def _main_language(world: World) -> Any | str:
    return _as_matrix(world, most_met(world, schemas.LANGUAGE, 1))


def _as_matrix(world: World, labels: pl.DataFrame | str) -> Any | str:
    return labels if isinstance(labels, str) else _matrix(world, labels)


def most_met(world: World, column: str, count: int) -> pl.DataFrame | str:
    """The ``count`` values of an items' column that most of a user's strong rows are of: ``user``, ``label``, equals
    in a seeded order; or why there are none."""
    items = world.dataset.items().select(schemas.ITEM_TYPE, schemas.ITEM, pl.col(column).alias(_LABEL)).drop_nulls()
    if not items.height:
        return f"no item has a {column}"
    rows = world.moments[1].known(world.dataset, world.strong)
    met = rows.join(items.lazy(), on=[schemas.ITEM_TYPE, schemas.ITEM]).group_by(schemas.USER, _LABEL).agg(pl.len())
    tie = pl.struct(schemas.USER, _LABEL).hash(world.seed)
    ranked = met.with_columns(tie=tie).sort(schemas.USER, "len", "tie", descending=[False, True, False]).collect()
    return ranked.group_by(schemas.USER, maintain_order=True).head(count)


def _country(world: World) -> Any | str:
    users = world.dataset.users().select(schemas.USER, pl.col(schemas.COUNTRY).alias(_LABEL)).drop_nulls()
    if not users.height:
        return "no user has a country"
    return _matrix(world, users.join(_heard_of(world), on=schemas.USER, how="semi"))


def _onboarding(world: World) -> Any | str:
    """Of users who registered in the last days before the cut-off; without timestamps of all."""
    users, (_, serve) = world.dataset.users(), world.moments
    if serve.at is not None:
        registered = pl.col(schemas.REGISTERED_AT)
        users = users.filter((registered < serve.at) & (registered >= serve.at - timedelta(days=_NEW_DAYS)))
    picked = users.select(schemas.USER, pl.col(schemas.ONBOARDING_ITEMS).alias(_LABEL))
    picked = picked.filter(pl.col(_LABEL).list.len() > 0).explode(_LABEL).unique()
    return _matrix(world, picked) if picked.height else "no new user has onboarding items"


def _heard_of(world: World) -> pl.DataFrame:
    """The users of whom there is a row before the cut-off."""
    return world.moments[1].known(world.dataset, world.signals).select(schemas.USER).unique().collect()


def _matrix(world: World, frame: pl.DataFrame) -> Any:
    """``user``, ``label`` as a sparse matrix."""
    names = frame[_LABEL].unique().sort()
    numbered = frame.join(names.to_frame().with_row_index("column"), on=_LABEL)
    ends = (numbered[schemas.USER].to_numpy(), numbered["column"].to_numpy())
    ones = np.ones(numbered.height, np.float32)
    return sparse.csr_array((ones, ends), shape=(world.dataset.meta.num_users, len(names)))


#: The paper's third is the country of the most listened artists, which the data contract does not have: the users'
#: own country and the language they listen in are its nearest kin.
LABELS: Final[Mapping[str, Label]] = {
    "creators": Label(f"one of their {_FAVOURITES} favourite creators (most strong rows)", _favourite_creators),
    "country": Label("their country", _country),
    "language": Label("the language of most of what they listen to", _main_language),
    "onboarding": Label(f"an onboarding item, among users registered in the last {_NEW_DAYS} days", _onboarding),
}
