"""A trained CLUE or SimCLR: its files, and the vectors of users."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from graphkit.training.device import choose_device
from graphkit.training.model_file import MODEL_FILE, read_model, write_model
from towers.encoders.clue.data import Catalogue
from towers.encoders.clue.model import Contrastive, ContrastiveShape
from towers.encoders.sequences.backbone import Behaviours, to_behaviours
from towers.encoders.sequences.layout import Layout
from towers.encoders.sequences.sequences import Ints, Sequences
from towers.encoders.users import Users

Floats = npt.NDArray[np.float32]


class ContrastiveEncoder:
    """Encodes users; each item is encoded once in its life, however many users and calls it is in."""

    def __init__(self, model: Contrastive, catalogue: Catalogue, layout: Layout) -> None:
        self.device = choose_device("auto")
        self.model, self.catalogue, self.layout = model.to(self.device).eval(), catalogue, layout
        # Where services are signals an item has a vector in each, else one.
        services = 1 if catalogue.services is not None else model.shape.backbone.services
        self._items = np.zeros((services * len(catalogue.tokens), model.shape.backbone.dim), np.float32)
        self._known = np.zeros(len(self._items), dtype=bool)

    @property
    def parts(self) -> int:
        """How many vectors a user has side by side: one, or one a service."""
        return self.model.shape.backbone.services if self.layout.by_service else 1

    @property
    def dim(self) -> int:
        return self.parts * self.model.shape.dim

    def encode(self, users: Users) -> Floats:
        """The users' vectors, float32 [users.count, dim]; zeros in the place of a service that a user lacks."""
        rows = self.layout.sequences(users, self.catalogue.services)
        out = np.zeros((users.count, self.parts, self.model.shape.dim), np.float32)
        if len(rows):
            out[rows.users, rows.row_services if self.parts > 1 else 0] = self._row_vectors(rows)
        return out.reshape(users.count, self.dim)

    @torch.no_grad()
    def _row_vectors(self, rows: Sequences) -> Floats:
        keys = self._keys(rows)
        self._encode_items(keys, rows)
        distinct, index = np.unique(keys, return_inverse=True)
        parts = (self._items[distinct], index.reshape(-1), rows.indptr)
        items, at, indptr = (torch.from_numpy(np.ascontiguousarray(part)).to(self.device) for part in parts)
        vectors: Floats = self.model.row_vectors(items, at, indptr).cpu().numpy()
        return vectors

    def _keys(self, rows: Sequences) -> Ints:
        """The row of ``_items`` of each behaviour: int64 [num_behaviours]."""
        by_signal = self.catalogue.services is None
        return rows.services * len(self.catalogue.tokens) + rows.items if by_signal else rows.items

    def _encode_items(self, keys: Ints, rows: Sequences) -> None:
        new, first = np.unique(keys[fresh := ~self._known[keys]], return_index=True)
        if len(new) == 0:
            return
        at = np.flatnonzero(fresh)[first]
        alone = Sequences(np.arange(len(at) + 1), at, rows.items[at], rows.services[at], rows.times[at])
        behaviours: Behaviours = to_behaviours(alone, self.catalogue.tokens, self.catalogue.vocabulary, self.device)
        vectors = self.model.backbone.items(behaviours.tokens)[behaviours.index]
        self._items[new], self._known[new] = vectors.cpu().numpy(), True


def save_encoder(folder: Path, model: Contrastive, catalogue: Catalogue, layout: Layout) -> None:
    """Write all that ``load_encoder`` needs."""
    write_model(folder / MODEL_FILE, model, model.shape.model_dump_json())
    catalogue.save(folder)
    layout.save(folder)


def load_encoder(folder: Path) -> ContrastiveEncoder:
    """The encoder of a batch; raises ArtefactError where its model cannot be read."""
    model = read_model(folder / MODEL_FILE, ContrastiveShape, Contrastive, "train the encoder again")
    return ContrastiveEncoder(model, Catalogue.load(folder), Layout.load(folder))
