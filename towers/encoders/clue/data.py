"""What CLUE and SimCLR learn from and encode with: item texts as tokens, services, the users' sequences."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

from graphkit import schemas
from graphkit.config.sequence_encoders import TextSequenceSection
from graphkit.errors import InputError
from towers.encoders.clue.model import ContrastiveShape
from towers.encoders.sequences.backbone import BackboneShape
from towers.encoders.sequences.layout import MAX_HELD_OUT, Layout, first_rows, hold_out, put_together, sampled
from towers.encoders.sequences.sequences import Ints, Sequences
from towers.encoders.sequences.services import Services, find_services, first_values
from towers.encoders.sequences.tokens import PAD, Tokens, encode_texts, learn_tokens, texts_of
from towers.encoders.source import Source

TEXTS_FILE: Final = "item_tokens.safetensors"
TOKENIZER_FILE: Final = "tokenizer.json"


@dataclass(frozen=True)
class Catalogue:
    """The items as the encoder reads them; ``services`` is None where services are signals."""

    tokens: Tokens  # [num_items, max_tokens - 1], the texts' alone
    services: Ints | None  # [num_items]
    vocabulary: int
    tokenizer: Tokenizer

    @property
    def without_text(self) -> int:
        """How many items have no text: only their service is known of them."""
        return int((self.tokens[:, 0] == PAD).sum())

    def save(self, folder: Path) -> None:
        tensors: dict[str, npt.NDArray[np.integer]] = {"tokens": self.tokens}
        if self.services is not None:
            tensors |= {"services": self.services}
        save_file(tensors, folder / TEXTS_FILE)
        (folder / TOKENIZER_FILE).write_text(self.tokenizer.to_str(), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Catalogue:
        tensors = load_file(folder / TEXTS_FILE)
        tokenizer = Tokenizer.from_str((folder / TOKENIZER_FILE).read_text(encoding="utf-8"))
        return cls(tensors["tokens"], tensors.get("services"), tokenizer.get_vocab_size(), tokenizer)


@dataclass(frozen=True)
class TrainingData:
    """Sequences of every user that is trained or validated on, and which users are which: disjoint, ascending."""

    catalogue: Catalogue
    layout: Layout
    rows: Sequences
    train: Ints
    held_out: Ints
    timed: bool

    def shape(self, settings: TextSequenceSection, out_dim: int | None = None) -> ContrastiveShape:
        """What a model of these data is built from."""
        return ContrastiveShape(
            backbone=BackboneShape.of(settings, self.catalogue.vocabulary, len(self.layout.service_rows), self.timed),
            out_dim=out_dim,
            initial_scale=settings.initial_scale,
        )


def read_items(
    source: Source,
    settings: TextSequenceSection,
    by_service: bool,
    several: bool,
    tokenizer: Tokenizer | None = None,
) -> tuple[Catalogue, Layout]:
    """The dataset's items and how its users become sequences; without a ``tokenizer`` one is learned from the texts.

    Raises InputError where services must be ``several`` and are not.
    """
    meta, items = source.dataset.meta, source.dataset.items()
    signals = (*meta.strong, *meta.weak) if settings.signals == "all" else meta.strong
    services = _services(source, items, settings, signals, several)
    item_services = (
        None if settings.service == schemas.SIGNAL else services.codes(first_values(items, settings.service))
    )
    texts = texts_of(items, settings.texts)
    tokenizer = tokenizer or learn_tokens(texts, settings.vocabulary)
    tokens = encode_texts(tokenizer, texts, settings.max_tokens - 1)
    return Catalogue(tokens, item_services, tokenizer.get_vocab_size(), tokenizer), Layout(
        first_rows=first_rows(items),
        signals=signals,
        max_behaviours=settings.max_behaviours,
        services=services,
        by_service=by_service,
    )


def read_training_data(source: Source, settings: TextSequenceSection, by_service: bool, seed: int) -> TrainingData:
    """Everything from before the label period; a user must have two rows (services), or a row of two behaviours.

    Raises InputError where fewer than four users do.
    """
    catalogue, layout = read_items(source, settings, by_service, several=by_service)
    blocks = ((layout.sequences(users, catalogue.services), users.count) for users in source.blocks(source.training))
    rows = put_together(blocks)
    able = _able(rows, by_service)
    if len(able) < 4:
        what = "behaviours in two services" if by_service else "two behaviours"
        raise InputError(
            "too few users to contrast with each other",
            expected=f"at least 4 users with {what} before the label period",
            found=f"{len(able)}",
            fix="give more interactions, or a shorter label period (split.label_days)",
        )
    train, held = hold_out(sampled(able, settings.max_users, seed), settings.validation_share, MAX_HELD_OUT, seed)
    timed = source.dataset.meta.label_start is not None
    return TrainingData(catalogue, layout, rows, train, held, timed)


def _able(rows: Sequences, by_service: bool) -> Ints:
    """The users that have a positive pair."""
    if not by_service:
        return rows.users[rows.lengths > 1]
    users, count = np.unique(rows.users, return_counts=True)
    return users[count > 1]


def _services(
    source: Source, items: pl.DataFrame, settings: TextSequenceSection, signals: tuple[str, ...], several: bool
) -> Services:
    """The services of the training rows; where they need not be several, one will do."""
    log = source.log(source.training).filter(pl.col(schemas.SIGNAL).is_in(list(signals)))
    if settings.service == schemas.SIGNAL:
        counted = log.group_by(value=schemas.SIGNAL).len()
    else:
        values = items.select(schemas.ITEM_TYPE, schemas.ITEM, value=first_values(items, settings.service)).lazy()
        counted = log.join(values, on=[schemas.ITEM_TYPE, schemas.ITEM]).group_by("value").len()
    counts = dict(counted.collect().select("value", "len").iter_rows())
    return find_services(settings.service, counts, source.dataset.meta.types, settings.max_services, several)
