"""A hybrid factorisation as LightFM is one (Kula 2015; KDD '24, table 1): the sums of features' vectors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn.functional import embedding_bag

from graphkit.downstream.early_stopping import seeded, train
from graphkit.downstream.hybrid_features import item_features, profile_features
from graphkit.downstream.pairs import Pairs
from graphkit.downstream.popularity import best_threshold
from graphkit.downstream.rivals import Rival
from graphkit.downstream.world import World
from graphkit.training.device import generator

NAME: Final = "LightFM-like"
#: Chosen on the sample world's held-out users, once; weight decay and other losses brought nothing.
_LEARNING_RATE, _BATCH, _NEGATIVES, _HIDDEN = 0.003, 2048, 384, 0.2
#: Pairs of held-out users that stop the training, at most.
_VALIDATION: Final = 16_384
_BLOCK: Final = 8192

Floats = npt.NDArray[np.float32]
Longs = npt.NDArray[np.int64]


class HybridModel(nn.Module):
    """score(u, i) = p_u · q_i + b_i. q_i and b_i are sums over the item's features; p_u is the sum over the person's
    (country, age band, languages) and, over the root of their number, over the features of the items met: in the
    place of a vector of the user's own, so that a user has one at any moment.

    ``items`` and ``people`` are sparse rows of features, [items, f] and [users, g].
    """

    def __init__(self, items: Any, people: Any, dim: int) -> None:
        super().__init__()
        self.item_features, self.people = items, people
        scale = dim**-0.5
        self.item_vectors = nn.Parameter(0.5 * scale * torch.randn(items.shape[1], dim))
        self.item_biases = nn.Parameter(torch.zeros(items.shape[1], 1))
        self.met_vectors = nn.Parameter(0.1 * scale * torch.randn(items.shape[1], dim))
        self.people_vectors = nn.Parameter(0.1 * scale * torch.randn(people.shape[1], dim))

    def items(self, rows: Longs) -> tuple[Tensor, Tensor]:
        """Vectors [n, dim] and biases [n]."""
        features = self.item_features[rows]
        return _sums(features, self.item_vectors), _sums(features, self.item_biases)[:, 0]

    def users(self, met: Any, rows: Longs, hide: Longs | None = None, nothing: Tensor | None = None) -> Tensor:
        """Of who has ``met`` (sparse 0/1 [users, items]) what: [n, dim]; without the items ``hide`` [n], each of
        which its user has met, and without all that was met where ``nothing`` [n] is True."""
        history = met[rows]
        count = torch.from_numpy(np.diff(history.indptr).astype(np.float32))
        total = _sums(history @ self.item_features, self.met_vectors)
        if hide is not None:
            total, count = total - _sums(self.item_features[hide], self.met_vectors), count - 1
        if nothing is not None:
            total = total.masked_fill(nothing[:, None], 0)
        return _sums(self.people[rows], self.people_vectors) + total / count.clamp(min=1).sqrt()[:, None]


def _sums(features: Any, vectors: Tensor) -> Tensor:
    """Of the rows of sparse ``features`` [n, f]: [n, dim]."""
    indices, starts = (torch.from_numpy(part.astype(np.int64)) for part in (features.indices, features.indptr[:-1]))
    weights = torch.from_numpy(features.data.astype(np.float32))
    found: Tensor = embedding_bag(indices, vectors, starts, mode="sum", per_sample_weights=weights)
    return found


@dataclass(frozen=True)
class HybridRival(Rival):
    """It is trained on who met what by a strong signal before ``fit``, as NMF is, and scores by itself; the task's
    training examples give the score above which it says yes."""

    world: World
    sign_up: bool = False  # users as of their sign-up, not as of the moment
    models: dict[int, HybridModel] = field(default_factory=dict)  # by seed: one training for all tasks
    trained: bool = True
    name: str = NAME
    what: str = (
        "hybrid factorisation: a user is the sum of the vectors of country, age band, languages and the features of "
        "the items met by a strong signal, an item that of its own, its type, genres, creator and language"
    )

    def of_new_users(self) -> HybridRival:
        return replace(self, sign_up=True)

    def fit(self, training: Pairs, validation: Pairs, seed: int) -> HybridScorer:
        if seed not in self.models:
            self.models[seed] = fit_hybrid(self.world, seed)
        model, world = self.models[seed], self.world
        met = {
            moment.name: world.new_users.met(world.strong) if self.sign_up else world.met(moment, world.strong)
            for moment in world.moments
        }
        scorer = HybridScorer(model, met)
        return replace(scorer, threshold=best_threshold(scorer.pairs(training), training.labels))


@dataclass(frozen=True)
class HybridScorer:
    """By how much a score is above the threshold (``Scorer``)."""

    model: HybridModel
    met: Mapping[str, Any]  # by moment, sparse 0/1 [users, items]
    threshold: float = 0.0

    def pairs(self, pairs: Pairs) -> Floats:
        users, of_user = np.unique(pairs.users, return_inverse=True)
        vectors, (items, biases) = self._users(pairs.moment, users), self._items
        found: Floats = np.einsum("nd,nd->n", vectors[of_user], items[pairs.items]) + biases[pairs.items]
        return found - np.float32(self.threshold)

    def ranking(self, moment: str, users: Longs, items: slice) -> Floats:
        vectors, biases = (part[items] for part in self._items)
        found: Floats = self._users(moment, users) @ vectors.T + biases - np.float32(self.threshold)
        return found

    def _users(self, moment: str, users: Longs) -> Floats:
        blocks = np.split(users, range(_BLOCK, len(users), _BLOCK))
        with torch.no_grad():
            return torch.cat([self.model.users(self.met[moment], block) for block in blocks]).numpy()

    @cached_property
    def _items(self) -> tuple[Floats, Floats]:
        with torch.no_grad():
            vectors, biases = self.model.items(np.arange(self.model.item_features.shape[0]))
        return vectors.numpy(), biases.numpy()


def fit_hybrid(world: World, seed: int) -> HybridModel:
    """Train on the pairs of all but the validation users, who stop it, each pair against the same random items of
    its type by softmax. The item of a pair is taken out of its user's history; a fifth of the users have none, so
    that the features of a person speak for themselves."""
    seeded(seed, world.threads)
    met = world.met(world.moments[0], world.strong)
    model = HybridModel(item_features(world), profile_features(world), world.settings.components)
    users, items = (ends.astype(np.int64) for ends in met.tocoo().coords)
    held_out = world.panel.validation[users]
    taught, checked = np.flatnonzero(~held_out), np.flatnonzero(held_out)
    checked = np.random.default_rng([seed, 0]).permutation(checked)[:_VALIDATION]
    random = np.random.default_rng([seed, 1])
    fixed = np.random.default_rng([seed, 2]).integers(0, world.catalogue.size, _NEGATIVES)
    drawn = generator(torch.device("cpu"), seed, "hidden histories")

    def loss(places: Tensor) -> Tensor:
        pairs = taught[places.numpy()]
        nothing = torch.rand(len(pairs), generator=drawn) < _HIDDEN
        others = random.integers(0, world.catalogue.size, _NEGATIVES)
        return hybrid_loss(world, model, met, users[pairs], items[pairs], others, nothing)

    def validation_loss() -> Tensor:
        return hybrid_loss(world, model, met, users[checked], items[checked], fixed)

    own = {"learning_rate": _LEARNING_RATE, "batch_size": _BATCH, "weight_decay": 0.0}
    settings = world.settings.model_copy(update=own | {"epochs": world.settings.hybrid_epochs})
    train(model, loss, len(taught), validation_loss, settings, seed)
    return model


def hybrid_loss(
    world: World,
    model: HybridModel,
    met: Any,
    users: Longs,
    items: Longs,
    others: Longs,
    nothing: Tensor | None = None,
) -> Tensor:
    """The mean cross-entropy of each pair (users[n], items[n]) among those of ``others`` [m] that are of the item's
    type and that its user has not met."""
    vectors = model.users(met, users, items, nothing)
    (own, own_bias), (rest, rest_bias) = model.items(items), model.items(others)
    positive = (vectors * own).sum(dim=1) + own_bias  # [n]
    negative = vectors @ rest.T + rest_bias  # [n, m]
    kinds = world.catalogue.type_of
    barred = (kinds[items][:, None] != kinds[others]) | (met[users][:, others].toarray() > 0)
    negative = negative.masked_fill(torch.from_numpy(barred), -torch.inf)
    return (torch.logsumexp(torch.cat([positive[:, None], negative], dim=1), dim=1) - positive).mean()
