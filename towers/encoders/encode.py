"""Encoding outside the batch, as near-real-time updating does: a trained encoder, users by ids, the same code."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, NamedTuple

import polars as pl
from pydantic import BaseModel, ConfigDict

from graphkit import schemas
from graphkit.artefacts import Batch, StageWork, Workspace
from graphkit.datasets.store import DatasetMeta
from graphkit.errors import InputError
from towers.encoders import encoder_module
from towers.encoders.contract import Encoder, Floats
from towers.encoders.users import known_users

ABOUT_FILE: Final = "encoder.json"
CATALOGUE_FILE: Final = "items.parquet"
VECTOR: Final = "vector"
_NEEDED: Final = (schemas.USER_ID, schemas.ITEM_ID, schemas.ITEM_TYPE, schemas.SIGNAL)


class About(BaseModel):
    """``encoder.json``: which signals the encoder heeds, and whether it was trained with timestamps."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    signals: tuple[str, ...]
    timed: bool

    @classmethod
    def of(cls, name: str, meta: DatasetMeta) -> About:
        return cls(name=name, signals=(*meta.strong, *meta.weak), timed=meta.label_start is not None)


class Encoded(NamedTuple):
    """Users and their vectors, and how many rows named an item that the encoder does not know."""

    user_ids: pl.Series  # [n]
    vectors: Floats  # [n, dim]
    unknown_items: int

    def table(self) -> pl.DataFrame:
        """``user_id``, ``vector``, as in ``user_vectors.parquet``."""
        return vectors_table(self.user_ids, self.vectors)


def vectors_table(user_ids: pl.Series, vectors: Floats) -> pl.DataFrame:
    """One row a user: ``user_id`` str, ``vector`` array of float32."""
    column = pl.Series(VECTOR, vectors, dtype=pl.Array(pl.Float32, vectors.shape[1]))
    return pl.DataFrame([user_ids.alias(schemas.USER_ID), column])


def save_about(work: StageWork, about: About, catalogue: pl.DataFrame) -> None:
    """Write what ``UserEncoder`` needs beside the model."""
    work.path(ABOUT_FILE).write_text(about.model_dump_json(indent=1), encoding="utf-8")
    catalogue.write_parquet(work.path(CATALOGUE_FILE))


@dataclass(frozen=True)
class UserEncoder:
    """A trained encoder for users by their ids; it reads its own batch alone."""

    model: Encoder
    about: About
    catalogue: pl.DataFrame  # item_type, item, item_id
    space_id: str | None

    @classmethod
    def open(cls, batch: Batch) -> UserEncoder:
        about = About.model_validate_json(batch.path(ABOUT_FILE).read_bytes())
        model = encoder_module(about.name).load(batch.folder)
        return cls(model, about, pl.read_parquet(batch.path(CATALOGUE_FILE)), batch.manifest.space_id)

    @classmethod
    def current(cls, workspace: Workspace, name: str) -> UserEncoder:
        """The workspace's current encoder of that name; raises ArtefactError if there is none."""
        return cls.open(workspace.current(name))

    def encode(
        self, events: pl.DataFrame, profiles: pl.DataFrame | None = None, as_of: datetime | None = None
    ) -> Encoded:
        """The vectors of the users of ``profiles``, then of ``events``, as of a moment (default: now).

        ``events`` has a dataset's interactions columns (``seconds`` may be left out, ``timestamp`` where the encoder
        was trained without), ``profiles`` ``user_id`` and any of its users columns. Rows of items that the encoder
        does not know, of other signals, and of ``as_of`` or later count for nothing. Raises InputError for a missing
        column, a missing time, and a user who has two profiles.
        """
        _check(events, profiles, self.about.timed)
        moment = (as_of or datetime.now(UTC)) if self.about.timed else None
        ids = events.select(pl.col(schemas.USER_ID).cast(pl.String))
        if profiles is not None:
            ids = pl.concat([profiles.select(pl.col(schemas.USER_ID).cast(pl.String)), ids])
        users = ids.unique(maintain_order=True).with_row_index(schemas.USER)
        own = (
            users if profiles is None else users.join(profiles, on=schemas.USER_ID, how="left", maintain_order="left")
        )
        rows = (
            _events(events)
            .filter(pl.col(schemas.SIGNAL).is_in(list(self.about.signals)))
            .join(users, on=schemas.USER_ID)
            .join(self.catalogue, on=[schemas.ITEM_TYPE, schemas.ITEM_ID], how="left")
        )
        known = rows.filter(pl.col(schemas.ITEM).is_not_null())
        vectors = self.model.encode(known_users(known, own, self.catalogue, moment))
        return Encoded(users[schemas.USER_ID], vectors, rows.height - known.height)


def _events(events: pl.DataFrame) -> pl.DataFrame:
    """The interactions' columns with their dtypes; those left out are null."""
    columns = (*_NEEDED, schemas.TIMESTAMP, schemas.SECONDS)
    return events.select(
        (pl.col(name) if name in events.columns else pl.lit(None))
        .cast(schemas.polars_dtype(schemas.INTERACTIONS[name].dtype))
        .alias(name)
        for name in columns
    )


def _check(events: pl.DataFrame, profiles: pl.DataFrame | None, timed: bool) -> None:
    needed = (*_NEEDED, schemas.TIMESTAMP) if timed else _NEEDED
    if missing := [name for name in needed if name not in events.columns]:
        raise InputError("the events lack a column", expected=", ".join(needed), found=f"no {', '.join(missing)}")
    if timed and (nulls := events[schemas.TIMESTAMP].null_count()):
        raise InputError(
            "the encoder was trained with times", expected="a time of every event", found=f"{nulls} without"
        )
    if profiles is None:
        return
    if schemas.USER_ID not in profiles.columns:
        raise InputError("the profiles lack a column", expected=schemas.USER_ID, found=", ".join(profiles.columns))
    if profiles[schemas.USER_ID].is_duplicated().any():
        twice = profiles.filter(pl.col(schemas.USER_ID).is_duplicated())[schemas.USER_ID][0]
        raise InputError("a user has two profiles", expected="one row a user", found=f"user {twice!r} twice")
