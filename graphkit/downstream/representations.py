"""The user vectors that are compared: those of encoders, read from their batches, and two simple ones made here."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from graphkit import schemas
from graphkit.artefacts import Batch
from graphkit.downstream.files import MEAN
from graphkit.downstream.moments import Moment
from graphkit.downstream.world import World
from graphkit.stages import ENCODERS
from graphkit.user_vectors import load_user_vectors
from graphkit.vectors import USER_VECTORS_FILE

NMF: Final = "NMF"

Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Representation:
    """A vector for every user as of each moment, all of one space; zeros where nothing is known of a user.

    ``sign_up``: of new users as of their own moments (``new_users``), zeros for all others; None where there are no
    such vectors.
    """

    name: str
    what: str
    fit: Floats | None  # [num_users, dim]; None without timestamps
    serve: Floats  # [num_users, dim]
    seconds: float  # what making it took, of an encoder its whole training
    sign_up: Floats | None = None  # [num_users, dim]

    def at(self, moment: str) -> Floats:
        """The matrix of ``fit`` or ``serve``."""
        if moment == "serve":
            return self.serve
        assert self.fit is not None  # narrows for mypy: tasks that train at ``fit`` need timestamps
        return self.fit


def representations(world: World, upstream: Mapping[str, Batch]) -> Iterator[Representation]:
    """The two simple ones, then each encoder of which there is a batch in ``upstream``, in their order."""
    yield mean_embeddings(world)
    yield nmf(world)
    for name in ENCODERS:
        if name in upstream:
            yield encoder_vectors(world, name, upstream[name])


def mean_embeddings(world: World) -> Representation:
    """The mean of the graph network's vectors of all items that a user met before, by strong or weak signals; of new
    users also of those that they chose on registering."""
    started, (early, late) = perf_counter(), world.moments
    fit, serve = (_means(world, moment, world.met(moment, world.signals)) for moment in world.moments)
    met = world.new_users.met(world.signals)
    sign_up = _means(world, early, met)
    measured = world.new_users.at(late)[schemas.USER].to_numpy()
    sign_up[measured] = _means(world, late, met[measured])
    what = "mean of the graph network's vectors of the items in the user's history, strong and weak signals"
    return Representation(MEAN, what, fit if world.timed else None, serve, perf_counter() - started, sign_up)


def _means(world: World, moment: Moment, met: Any) -> Floats:
    """Of sparse 0/1 ``met`` [n, items]: [n, dim]."""
    count = np.maximum(np.diff(met.indptr), 1).astype(np.float32)
    means: Floats = (met @ world.catalogue.embeddings[moment.name]) / count[:, None]
    return means


def nmf(world: World) -> Representation:
    """Factors of non-negative matrix factorisation (Lee and Seung 1999) of who met what by a strong signal.

    Users' and items' factors are learned from what was known at ``fit``; with the items' as they are, users' are
    computed anew for ``serve``, and for new users from what they met and chose. Without timestamps both are of all
    of train.
    """
    from sklearn.decomposition import NMF as Factors  # noqa: N811 - the name is taken
    from sklearn.exceptions import ConvergenceWarning

    started = perf_counter()
    early, late = (world.met(moment, world.strong) for moment in world.moments)
    rank = min(world.settings.components, *early.shape)
    model = Factors(rank, init="nndsvda", alpha_W=1e-3, l1_ratio=0, max_iter=60, random_state=world.seed)
    with threadpool_limits(1, "blas"), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # sixty iterations are the setting
        fit = model.fit_transform(early).astype(np.float32)
        serve = model.transform(late).astype(np.float32) if world.timed else fit
        sign_up = model.transform(world.new_users.met(world.strong)).astype(np.float32)
    what = f"{rank} factors of who met what by a strong signal, least squares"
    return Representation(NMF, what, fit if world.timed else None, serve, perf_counter() - started, sign_up)


def encoder_vectors(world: World, name: str, batch: Batch) -> Representation:
    """Those of a batch of the encoder ``name``."""
    vectors = load_user_vectors(batch.path(USER_VECTORS_FILE), name, world.dataset.meta.num_users, world.timed)
    what = f"the user encoder `{name}`, batch {batch.id}"
    fit, seconds = vectors.fit[0] if world.timed else None, batch.manifest.wall_seconds
    return Representation(name, what, fit, vectors.serve, seconds, vectors.sign_up)
