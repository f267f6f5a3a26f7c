"""The settings of the autoencoder; "paper" is `Generalized User Representations for Transfer Learning` (KDD '24)."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator

from graphkit.config.base import Positive, PositiveFloat, Section


class AutoencoderSection(Section):
    """The autoencoder of user features and its modality encoders."""

    windows_days: Annotated[tuple[Positive, ...], Field(min_length=1)] = Field(
        default=(7, 30, 182),
        description="item vectors are averaged over each (paper: 1 week, 1 month, 6 months); without timestamps over "
        "all of train",
    )
    modalities: Annotated[tuple[Literal["text", "collaborative", "hgnn"], ...], Field(min_length=1)] = Field(
        default=("text", "collaborative", "hgnn"),
        description="the item vectors that are averaged: of the item's text (paper: audio), of what it stands "
        "together with (paper), of the graph network (ours)",
    )
    without: tuple[Literal["histories", "onboarding", "static"], ...] = Field(
        default=(),
        description="input features left out (the paper's ablations): item vectors of what was met, choices on "
        "registering, country and age",
    )
    modality_dim: Positive = Field(default=80, description="width of each of them, at most (paper)")
    shrinkage: Annotated[float, Field(ge=0)] = Field(
        default=2, description="a mean over n items has n / (n + this) of its length: few items, little trust"
    )
    baskets: Annotated[tuple[Literal["playlists", "sessions"], ...], Field(min_length=1)] = Field(
        default=("playlists", "sessions"),
        description="what two items must share for the collaborative vectors; without timestamps a user's whole "
        "history is one session, and playlists count where there are any",
    )
    session_gap_hours: PositiveFloat = Field(default=24, description="a longer pause starts a new session")
    max_basket: Positive = Field(default=200, description="of a longer basket a fixed random part counts")
    max_pairs: Positive = Field(
        default=50_000_000, description="pairs counted, at most: beyond, a seeded sample of the baskets"
    )
    onboarding_days: Positive = Field(
        default=90, description="onboarding choices count so long after registration (paper: a few months)"
    )
    window_weight: Annotated[float, Field(ge=0)] = Field(
        default=0.5,
        description="item vectors of a window of d days weigh (d / longest window) to this power in the loss: short "
        "windows hold few items and much chance; 0: all alike (paper)",
    )
    profile_weight: PositiveFloat = Field(
        default=1.4,
        description="what country, age, tenure and the choices on registering weigh in the loss (paper: 1)",
    )
    hidden: Annotated[tuple[Positive, ...], Field(min_length=1)] = Field(
        default=(512, 256), description="widths of the encoder's hidden layers; the decoder has them in reverse"
    )
    out_dim: Positive = Field(default=120, description="width of a user's vector (paper)")
    metric: bool = Field(
        default=True,
        description="vectors are mapped so that their inner products are those of the rows that they stand for; else "
        "as the network came to them (paper)",
    )
    dropout: Annotated[float, Field(ge=0, le=0.5)] = Field(
        default=0.01, description="alpha dropout, which keeps mean and variance as SELU needs them (paper: small)"
    )
    batch_size: Positive = 128
    learning_rate: PositiveFloat = Field(default=0.001, description="of the first epoch; it falls by a cosine to 1 %")
    epochs: Positive = 40
    patience: Positive = Field(default=8, description="epochs without a better validation loss before it stops")
    validation_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.1, description="users held out for the validation loss"
    )
    max_users: Positive = Field(
        default=100_000, description="users trained and validated on, at most; a seeded sample"
    )

    @field_validator("windows_days")
    @classmethod
    def _ascending(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if list(value) != sorted(set(value)):
            raise ValueError("windows must ascend, as in [7, 30, 182]")
        return value
