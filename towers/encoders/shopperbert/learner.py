"""Masked Purchase Prediction (ShopperBERT, section 4.1.2) over a batch of users; a process computes a share of it."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from graphkit.config.sequence_encoders import ShopperbertSection
from towers.encoders.sequences.sequences import Ints, Sequences, offsets
from towers.encoders.shopperbert.augment import augmented
from towers.encoders.shopperbert.data import Products, TrainingData
from towers.encoders.shopperbert.masking import mask
from towers.encoders.shopperbert.model import UNKNOWN, BehaviourTokens, Shopperbert, prediction_losses


class ShopperbertLearner:
    """The mean over sub-tasks of the mean loss over masked behaviours (equation 2)."""

    def __init__(self, model: Shopperbert, data: TrainingData, settings: ShopperbertSection, seed: int) -> None:
        self.model, self.data, self.settings, self.seed = model, data, settings, seed
        self.device = next(model.parameters()).device

    @property
    def num_examples(self) -> int:
        return len(self.data.train)

    def loss(self, examples: Ints, own: slice, draw: np.random.Generator) -> Tensor:
        """Some sequences are augmented, then some behaviours of each masked."""
        rows = self.data.rows.of_users(self.data.train[examples])
        return self._loss(augment_some(rows, self.settings, draw), own, draw)

    @torch.no_grad()
    def held_out_loss(self) -> float:
        """The held-out users' loss, always of the same masked behaviours; nothing is augmented."""
        draw = np.random.default_rng([self.seed, 4])
        users = self.data.held_out
        parts = np.array_split(users, max(round(len(users) / self.settings.batch_size), 1))
        losses = [float(self._loss(self.data.rows.of_users(part), slice(None), draw)) * len(part) for part in parts]
        return sum(losses) / len(users)

    def _loss(self, rows: Sequences, own: slice, draw: np.random.Generator) -> Tensor:
        masking = mask(rows.lengths, self.settings.mask_share, draw)
        values = self.data.products.values(rows)
        targets = values[masking.predicted]
        counts = np.maximum((targets != UNKNOWN).sum(0), 1)  # of the whole batch
        first, last = _behaviours_of(rows, own)
        mine = rows.take(np.arange(len(rows))[own])
        part = slice(first, last)
        if len(mine) == 0:  # more processes than users
            return torch.zeros((), device=self.device)
        tokens = to_tokens(
            self.data.products,
            values[masking.content[part]],
            rows.items[masking.content[part]],
            masking.hidden[part],
            mine.indptr,
            self.device,
        )
        _, hidden = self.model(tokens)
        predicted = torch.from_numpy(masking.predicted[part]).to(self.device)
        wanted = torch.from_numpy(values[part][masking.predicted[part]]).to(self.device)
        losses = prediction_losses(self.model, hidden[predicted], wanted)
        return (losses / torch.from_numpy(counts).to(self.device)).mean()


def augment_some(rows: Sequences, settings: ShopperbertSection, draw: np.random.Generator) -> Sequences:
    """Algorithm 1 on a share of the sequences."""
    chosen = draw.random(len(rows)) < settings.augment_share
    parts, lengths = [], rows.lengths.copy()
    for row, start in enumerate(rows.indptr[:-1]):
        length = int(lengths[row])
        places = augmented(length, settings.crop_probability, draw) if chosen[row] else np.arange(length)
        lengths[row] = len(places)
        parts.append(start + places)
    at = np.concatenate(parts)
    return Sequences(offsets(lengths), rows.users, rows.items[at], rows.services[at], rows.times[at])


def to_tokens(
    products: Products,
    values: Ints,
    items: Ints,
    hidden: np.ndarray,
    indptr: Ints,
    device: torch.device,
) -> BehaviourTokens:
    """Tensors of behaviours with these ``values`` [n, tasks] and the text vectors of ``items`` [n]."""
    parts = (values, products.text[items], hidden, indptr)
    return BehaviourTokens(*(torch.from_numpy(np.ascontiguousarray(part)).to(device) for part in parts))


def _behaviours_of(rows: Sequences, own: slice) -> tuple[int, int]:
    start, stop, _ = own.indices(len(rows))
    return int(rows.indptr[start]), int(rows.indptr[max(stop, start)])
