"""The input row of the autoencoder, block by block: what stands in which columns."""

from __future__ import annotations

from typing import Final, NamedTuple

import polars as pl
from pydantic import BaseModel, ConfigDict

from graphkit import schemas
from graphkit.config.autoencoder import AutoencoderSection
from graphkit.histories import STRONG, WEAK
from towers.encoders.source import Source

SPEC_FILE: Final = "features.json"
#: Name of the network's one input, float32 [n, dim], NaN where not known.
FEATURES: Final = "features"
#: A country or language of fewer users has no column of its own.
_MIN_USERS: Final = 5
#: The users' columns behind the groups that ``autoencoder.without`` may leave out.
_COLUMNS: Final = {
    "onboarding": (schemas.ONBOARDING_ITEMS, schemas.ONBOARDING_LANGUAGES),
    "static": (schemas.COUNTRY, schemas.AGE),
}


class Block(NamedTuple):
    """Neighbouring columns of one meaning, and what they weigh in the loss."""

    name: str
    width: int
    weight: float = 1.0


class InputSpec(BaseModel):
    """What the row x = [c, a, v] of a user holds (paper 3.2.2, 3.3.2). Saved beside the model.

    A column that is not known of a user is NaN; counts are known of everyone.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    types: tuple[str, ...]
    strong: tuple[str, ...]
    weak: tuple[str, ...]
    windows_days: tuple[int, ...]  # empty without timestamps: one window, all there is
    modalities: dict[str, int]  # widths of the item vectors
    shrinkage: float = 0.0
    window_weight: float = 0.0
    profile_weight: float = 1.0
    countries: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    age: bool = False
    tenure: bool = False
    onboarding: bool = False
    onboarding_days: int
    histories: bool = True  # mean item vectors of what was met

    @property
    def num_windows(self) -> int:
        return max(len(self.windows_days), 1)

    @property
    def signals(self) -> dict[str, tuple[str, ...]]:
        """The signal groups that are counted."""
        groups = {STRONG: self.strong, WEAK: self.weak}
        return {group: signals for group, signals in groups.items() if signals}

    @property
    def vector_blocks(self) -> tuple[Block, ...]:
        """Mean item vectors per type, window and modality."""
        if not self.histories:
            return ()
        shares = {f"{days} days": days / self.windows_days[-1] for days in self.windows_days} or {"all": 1.0}
        return tuple(
            Block(f"{item_type}, {window}, {modality}", width, share**self.window_weight)
            for item_type in self.types
            for window, share in shares.items()
            for modality, width in self.modalities.items()
        )

    @property
    def count_blocks(self) -> tuple[Block, ...]:
        """Log counts of rows per type and signal group, a column a window."""
        return tuple(Block(f"{t}, {group} rows", self.num_windows) for t in self.types for group in self.signals)

    @property
    def profile_blocks(self) -> tuple[Block, ...]:
        """What is known of the person."""
        onboarding = self.modalities if self.onboarding else {}
        widths = {"country": len(self.countries), "age": int(self.age), "tenure": int(self.tenure)}
        widths |= {f"onboarding, {modality}": width for modality, width in onboarding.items()}
        widths |= {"languages": len(self.languages)}
        return tuple(Block(name, width, self.profile_weight) for name, width in widths.items() if width)

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Every block, in the order of the columns."""
        return (*self.vector_blocks, *self.count_blocks, *self.profile_blocks)

    @property
    def dim(self) -> int:
        return sum(block.width for block in self.blocks)


def input_spec(source: Source, modalities: dict[str, int], settings: AutoencoderSection) -> InputSpec:
    """The blocks that the dataset has values for, but for those of ``autoencoder.without``."""
    meta, users = source.dataset.meta, source.dataset.users().drop(_left_out(settings), strict=False)
    timed = meta.label_start is not None
    return InputSpec(
        types=meta.types,
        strong=meta.strong,
        weak=meta.weak,
        windows_days=settings.windows_days if timed else (),
        modalities=modalities,
        shrinkage=settings.shrinkage,
        window_weight=settings.window_weight,
        profile_weight=settings.profile_weight,
        countries=_common(users, schemas.COUNTRY),
        languages=_common(users, schemas.ONBOARDING_LANGUAGES),
        age=_has(users, schemas.AGE),
        tenure=timed and _has(users, schemas.REGISTERED_AT),
        onboarding=_has(users, schemas.ONBOARDING_ITEMS),
        onboarding_days=settings.onboarding_days,
        histories="histories" not in settings.without,
    )


def _left_out(settings: AutoencoderSection) -> list[str]:
    return [column for group in settings.without for column in _COLUMNS.get(group, ())]


def _has(users: pl.DataFrame, name: str) -> bool:
    return name in users.columns and users[name].null_count() < users.height


def _common(users: pl.DataFrame, name: str) -> tuple[str, ...]:
    """The values that enough users share, sorted."""
    if not _has(users, name):
        return ()
    values = users[name].drop_nulls()
    values = values.explode(empty_as_null=False) if values.dtype == pl.List else values
    counts = values.drop_nulls().value_counts(name="count")
    return tuple(sorted(counts.filter(pl.col("count") >= _MIN_USERS)[name].to_list()))
