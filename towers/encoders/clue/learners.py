"""What CLUE and SimCLR learn a batch: the vectors of their users, of which each process computes a share."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from graphkit.config.sequence_encoders import SimclrSection
from graphkit.training.distributed import Team
from towers.encoders.clue.data import TrainingData
from towers.encoders.clue.losses import clip_loss, ntxent_loss
from towers.encoders.clue.model import Contrastive
from towers.encoders.clue.views import HIDDEN, two_views
from towers.encoders.sequences.backbone import to_behaviours
from towers.encoders.sequences.sequences import Ints, Sequences, offsets


class ClueLearner:
    """Positives are one user's services, negatives the same services of the batch's other users.

    ``contrast`` is the number of users that are told apart at a time in the held-out loss, which grows with it.
    """

    def __init__(self, model: Contrastive, data: TrainingData, team: Team, contrast: int) -> None:
        self.model, self.data, self.team, self.contrast = model, data, team, contrast
        self.device = next(model.parameters()).device
        self.services = model.shape.backbone.services
        there = np.zeros((int(data.rows.users.max()) + 1, self.services), dtype=bool)
        there[data.rows.users, data.rows.row_services] = True
        self.there = torch.from_numpy(there).to(self.device)  # [num_users, services]

    @property
    def num_examples(self) -> int:
        return len(self.data.train)

    def loss(self, examples: Ints, own: slice, draw: np.random.Generator) -> Tensor:
        """Equation 4 over the batch; every process's vectors are gathered, so that all users are negatives.

        Unlike the paper's, a process's gradient also takes in what its vectors are to the anchors of the others.
        """
        users = self.data.train[examples]
        mine = self.data.rows.of_users(users[own])
        vectors = torch.zeros(len(users), self.services, self.model.shape.dim, device=self.device, requires_grad=True)
        if len(mine):
            place = (self._index(mine.users + own.start), self._index(mine.row_services))
            vectors = vectors.index_put(place, self._projected(mine))
        there = self.there[self._index(users)]
        return clip_loss(self.team.total(vectors), there, self.model.scale, own)

    @torch.no_grad()
    def held_out_loss(self) -> float:
        """The held-out users' loss, ``contrast`` of them at a time; each item is encoded once."""
        users = self.data.held_out
        rows = self.data.rows.of_users(users)
        vectors = torch.zeros(len(users), self.services, self.model.shape.dim, device=self.device)
        vectors[self._index(rows.users), self._index(rows.row_services)] = self._projected(rows)
        there = self.there[self._index(users)]
        return _mean_over_parts(
            len(users), self.contrast, lambda part: clip_loss(vectors[part], there[part], self.model.scale)
        )

    def _projected(self, rows: Sequences) -> Tensor:
        catalogue = self.data.catalogue
        projected: Tensor = self.model(to_behaviours(rows, catalogue.tokens, catalogue.vocabulary, self.device))
        return projected

    def _index(self, numbers: Ints) -> Tensor:
        return torch.from_numpy(numbers).to(self.device)


class SimclrLearner:
    """Positives are two views of one user's behaviours, negatives all views of the batch's other users."""

    def __init__(
        self, model: Contrastive, data: TrainingData, team: Team, settings: SimclrSection, seed: int
    ) -> None:
        self.model, self.data, self.team, self.settings, self.seed = model, data, team, settings, seed
        self.device = next(model.parameters()).device

    @property
    def num_examples(self) -> int:
        return len(self.data.train)

    def loss(self, examples: Ints, own: slice, draw: np.random.Generator) -> Tensor:
        """NT-Xent over the batch; every process's vectors are gathered."""
        users = self.data.train[examples]
        vectors = torch.zeros(len(users), 2, self.model.shape.dim, device=self.device, requires_grad=True)
        views = self._views(self.data.rows.of_users(users), own, draw)
        if views is not None:
            place = torch.arange(len(users), device=self.device)[own]
            vectors = vectors.index_put((place,), views)
        return ntxent_loss(self.team.total(vectors), self.model.scale, own)

    @torch.no_grad()
    def held_out_loss(self) -> float:
        """The held-out users' loss, a batch of them at a time, always of the same views."""
        rows = self.data.rows.of_users(self.data.held_out)
        views = self._views(rows, slice(0, len(rows)), np.random.default_rng([self.seed, 4]))
        assert views is not None  # narrows for mypy: somebody is held out
        size = self.settings.batch_size
        return _mean_over_parts(len(views), size, lambda part: ntxent_loss(views[part], self.model.scale))

    def _views(self, rows: Sequences, own: slice, draw: np.random.Generator) -> Tensor | None:
        """f(z) of two views of each of the rows ``own``, float [n, 2, dim]; the views of all rows are drawn."""
        drawn = [two_views(int(length), self.settings, draw) for length in rows.lengths][own]
        if not drawn:
            return None
        mine = rows.take(np.arange(len(rows))[own])
        catalogue = self.data.catalogue
        behaviours = to_behaviours(mine, catalogue.tokens, catalogue.vocabulary, self.device)
        index, hidden = behaviours.index.cpu().numpy(), len(behaviours.tokens)
        parts = [
            np.where(view == HIDDEN, hidden, index[start + np.maximum(view, 0)])
            for start, views in zip(mine.indptr[:-1], drawn, strict=True)
            for view in views
        ]
        indptr = torch.from_numpy(offsets(np.array([len(part) for part in parts]))).to(self.device)
        items = self.model.item_vectors(behaviours.tokens)
        z = self.model.row_vectors(items, torch.from_numpy(np.concatenate(parts)).to(self.device), indptr)
        return self.model.project(z).view(len(drawn), 2, -1)


def _mean_over_parts(count: int, size: int, loss: Callable[[slice], Tensor]) -> float:
    """The mean of ``loss`` over nearly equal parts of ``count`` users, about ``size`` each."""
    bounds = np.linspace(0, count, max(round(count / size), 1) + 1).astype(int).tolist()
    total = 0.0
    for start, end in pairwise(bounds):
        total += float(loss(slice(start, end))) * (end - start)
    return total / count
