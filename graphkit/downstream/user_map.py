"""Where users lie in each space, in two dimensions, with what is known of them: for the report's map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl

from graphkit import schemas
from graphkit.downstream.cluster_labels import most_met
from graphkit.downstream.panel import sample_users
from graphkit.downstream.profiling import ATTRIBUTES
from graphkit.downstream.representations import Representation
from graphkit.downstream.world import World
from graphkit.tsne import place

#: Fewer users than this make no map.
MIN_USERS: Final = 10


def user_map(world: World, spaces: Sequence[Representation]) -> pl.DataFrame:
    """Rows ``model``, ``user_id``, ``x``, ``y``, ``country``, ``age``, ``genre`` (str, null where not known).

    The same users in every space, as of the cut-off: at most ``downstream.map_users`` of whom every space knows
    something, by a seeded hash. ``age`` is the band of ``profile-age``, ``genre`` that of most of the user's rows.
    Vectors are scaled to length 1, since neighbours are by cosine; t-SNE places them.
    """
    known = np.all([space.serve.any(axis=1) for space in spaces], axis=0) & (world.panel.activity > 0)
    users = sample_users(np.flatnonzero(known), world.settings.map_users, world.seed)
    about = _about(world, users)
    parts = [about.head(0).with_columns(model=pl.lit(""), x=pl.lit(0.0), y=pl.lit(0.0))]
    for space in spaces if len(users) >= MIN_USERS else ():
        vectors = space.serve[users]
        points = place(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), world.seed).astype(np.float64)
        named = about.with_columns(model=pl.lit(space.name))
        parts.append(named.with_columns(pl.Series("x", points[:, 0]), pl.Series("y", points[:, 1])))
    return pl.concat(parts)


def _about(world: World, users: npt.NDArray[np.int64]) -> pl.DataFrame:
    table = world.dataset.users().sort(schemas.USER)
    attributes = [attribute.read(table).cast(pl.String).alias(name) for name, attribute in ATTRIBUTES.items()]
    genre = most_met(world, schemas.GENRE, 1)
    own = table.select(schemas.USER, schemas.USER_ID).with_columns(attributes)
    found = pl.DataFrame(schema={schemas.USER: pl.UInt32, "label": pl.String}) if isinstance(genre, str) else genre
    first = pl.col("label").str.split(schemas.GENRE_SEPARATOR).list.first().str.strip_chars().alias(schemas.GENRE)
    return own.join(found.select(schemas.USER, first), on=schemas.USER, how="left", maintain_order="left")[
        users
    ].drop(schemas.USER)
