"""New users, each at a moment of their own: ``sign_up.hours`` after registering.

Those whose moment is in the label period are trained on, as if it were ``fit``: items' vectors and popularity are of
its start. Those who registered at the cut-off or later are measured, items' vectors and popularity being of the
cut-off. What is known of a user are the choices on registering and the rows before the moment.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.datasets.store import Dataset
from graphkit.downstream.catalogue import Catalogue
from graphkit.downstream.moments import Moment, moments_of
from graphkit.graph.store import FIT, SERVE
from graphkit.sign_ups import known_by_sign_up, sign_ups

Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class NewUsers:
    """``moments`` has ``user`` and ``as_of``, as ``graphkit.sign_ups`` gives them."""

    dataset: Dataset
    catalogue: Catalogue
    moments: pl.DataFrame
    hours: float

    @classmethod
    def of(cls, dataset: Dataset, catalogue: Catalogue, hours: float) -> NewUsers:
        return cls(dataset, catalogue, sign_ups(dataset, hours), hours)

    def at(self, moment: Moment) -> pl.DataFrame:
        """Those who belong to ``fit`` or ``serve``; who registers before the cut-off and is looked at after it
        belongs to neither."""
        cutoff, as_of = moments_of(self.dataset)[1].at, pl.col(schemas.AS_OF)
        if cutoff is None:
            return self.moments.clear()
        chosen = {FIT: as_of < cutoff, SERVE: as_of >= cutoff + timedelta(hours=self.hours)}
        return self.moments.filter(chosen[moment.name])

    def coming(self, moment: Moment, horizon: timedelta, signals: tuple[str, ...]) -> pl.LazyFrame:
        """The rows of the ``horizon`` after each one's moment: of train at ``fit``, of test at ``serve``."""
        rows = self.dataset.interactions(schemas.TRAIN if moment.name == FIT else schemas.TEST, signals)
        time, as_of = pl.col(schemas.TIMESTAMP), pl.col(schemas.AS_OF)
        joined = rows.join(self.at(moment).lazy(), on=schemas.USER)
        return joined.filter((time >= as_of) & (time < as_of + horizon))

    def met(self, signals: tuple[str, ...]) -> Any:
        """Which items new users met before their moments, or chose on registering: sparse 0/1 float32 [num_users,
        items]."""
        columns = (schemas.USER, schemas.ITEM_TYPE, schemas.ITEM)
        rows = known_by_sign_up(self.dataset, self.moments).filter(pl.col(schemas.SIGNAL).is_in(list(signals)))
        known = pl.concat([rows.select(columns), self._choices.lazy().select(columns)])
        return self.catalogue.matrix(known, self.dataset.meta.num_users)

    @property
    def chose(self) -> Bools:
        """Who chose an item of the catalogue on registering: bool [num_users]."""
        found = np.zeros(self.dataset.meta.num_users, dtype=bool)
        found[self._choices[schemas.USER].to_numpy()] = True
        return found

    @cached_property
    def _choices(self) -> pl.DataFrame:
        """``user``, ``item_type``, ``item``; an id that several types have stands for an item of each."""
        users = self.dataset.users()
        if schemas.ONBOARDING_ITEMS not in users.columns:
            users = users.with_columns(pl.lit(None, pl.List(pl.String)).alias(schemas.ONBOARDING_ITEMS))
        new = users.join(self.moments, on=schemas.USER, how="semi")
        chosen = new.select(schemas.USER, pl.col(schemas.ONBOARDING_ITEMS).alias(schemas.ITEM_ID))
        items = self.dataset.items().select(schemas.ITEM_TYPE, schemas.ITEM, schemas.ITEM_ID)
        return chosen.explode(schemas.ITEM_ID).join(items, on=schemas.ITEM_ID)
