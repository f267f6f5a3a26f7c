"""What every task and every row of the table is made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from graphkit.artefacts import Batch
from graphkit.config import Config
from graphkit.config.downstream import DownstreamSection
from graphkit.datasets.store import Dataset
from graphkit.downstream.catalogue import Catalogue
from graphkit.downstream.moments import Moment, moments_of
from graphkit.downstream.new_users import NewUsers
from graphkit.downstream.panel import Panel
from graphkit.vectors import EMBEDDINGS_FILE, load_vectors


@dataclass(frozen=True)
class World:
    """A dataset, its items' embeddings, and who is measured."""

    dataset: Dataset
    catalogue: Catalogue
    panel: Panel
    new_users: NewUsers
    settings: DownstreamSection
    seed: int
    threads: int

    @classmethod
    def of(cls, upstream: Mapping[str, Batch], config: Config) -> World:
        """Of the batches ``dataset`` and ``hgnn``."""
        dataset = Dataset.open(upstream["dataset"])
        catalogue = Catalogue.of(dataset, load_vectors(upstream["hgnn"].path(EMBEDDINGS_FILE)))
        panel = Panel.of(dataset, config.downstream, config.run.seed)
        new = NewUsers.of(dataset, catalogue, config.sign_up.hours)
        return cls(dataset, catalogue, panel, new, config.downstream, config.run.seed, config.run.threads)

    @cached_property
    def item_tables(self) -> dict[str, torch.Tensor]:
        """What the item side of pair models reads, by moment: float32 [items, dim]."""
        return {moment.name: torch.from_numpy(self.catalogue.features(moment.name)) for moment in self.moments}

    def met(self, moment: Moment, signals: tuple[str, ...]) -> Any:
        """Who is known at the moment to have met what: sparse 0/1 float32 [num_users, items]."""
        return self.catalogue.matrix(moment.known(self.dataset, signals), self.dataset.meta.num_users)

    @property
    def timed(self) -> bool:
        return self.dataset.meta.label_start is not None

    @property
    def strong(self) -> tuple[str, ...]:
        return self.dataset.meta.strong

    @property
    def signals(self) -> tuple[str, ...]:
        """Strong and weak ones."""
        return (*self.dataset.meta.strong, *self.dataset.meta.weak)

    @property
    def moments(self) -> tuple[Moment, Moment]:
        """``fit`` and ``serve``."""
        return moments_of(self.dataset)
