"""The settings of the two towers and their training; the defaults are the preset ``default``."""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from pydantic import Field, field_validator, model_validator

from graphkit.config.base import Positive, PositiveFloat, Section, Share

UserInput = Literal["demographics", "history", "weak", "weak-apart", "counts", "onboarding"]
#: Those of which there are counts.
_POOLED: Final = frozenset({"history", "weak", "weak-apart", "onboarding"})
ItemInput = Literal["text", "hgnn", "language", "genre", "creator"]


class TowersSection(Section):
    """The two-tower model (paper 4.2, 4.3.1)."""

    not_identity: ClassVar[frozenset[str]] = frozenset({"tensorboard"})

    user_inputs: tuple[UserInput, ...] = Field(
        default=("demographics", "history", "weak", "counts"),
        description="demographics: age, country, …; history and weak: the means of the items met by strong and by "
        "weak signals; weak-apart: one for each weak signal in place of weak; onboarding: the mean of the items "
        "chosen on registering, and the languages; counts: how many items are in each of these means",
    )
    categorical: tuple[str, ...] | None = Field(
        default=None, description="the features of demographics; None: country, age and those that the card names"
    )
    item_inputs: Annotated[tuple[ItemInput, ...], Field(min_length=1)] = (
        "text",
        "hgnn",
        "language",
        "genre",
        "creator",
    )
    popularity_days: tuple[Positive, ...] = Field(
        default=(),
        description="inputs of the item towers too: how many users met an item in the last so many days, for each of "
        "these; needs timestamps",
    )
    pooled: Literal["hgnn", "text"] = Field(default="hgnn", description="the item vectors that are averaged")
    user_vectors: tuple[str, ...] = Field(
        default=(),
        description="vectors of users that are an input too: an encoder's, by its name, or imported ones, by theirs",
    )
    vector_dropout: Share = Field(
        default=0.1, description="share of the examples whose user vector is hidden, for each of user_vectors"
    )
    hidden: tuple[Positive, ...] = (512, 256)
    out_dim: Positive = 128
    loss: Literal["linear", "softmax"] = Field(default="softmax", description="linear: equation 5 of the paper")
    temperature: PositiveFloat = Field(default=0.1, description="of the softmax loss")
    inverse_probability: bool = Field(
        default=True, description="weigh negatives (linear) or correct logits (softmax) by how often an item is met"
    )
    catalogue_negatives: Annotated[int, Field(ge=0)] = Field(
        default=0,
        description="negatives drawn evenly from the catalogue, beside the batch's own; a catalogue with no more "
        "items than this is taken whole, in place of both",
    )
    weak_weight: Annotated[float, Field(ge=0, le=1)] = Field(
        default=0, description="weight of an example that weak signals alone made, a strong one's being 1; 0: none"
    )
    history_days: Positive | None = Field(default=90, description="days of history pooled; None: all")
    half_life_days: PositiveFloat | None = Field(
        default=None, description="an item counts half in its mean for every so many days since; None: all the same"
    )
    max_history: Positive = Field(default=200, description="most recent items pooled per type and signal group")
    history_dropout: Share = Field(default=0.2, description="share of examples whose target-type history is hidden")
    item_dropout: Share = Field(
        default=0.0, description="share of a batch's items whose HGNN embedding is hidden: new items have none"
    )
    category_dim: Positive = Field(default=16, description="width of a learned category, genre or creator embedding")
    category_dropout: Share = Field(
        default=0.05, description="share of user categories hidden: trains the unknown slot"
    )
    max_creators: Positive = Field(
        default=10_000, description="commonest creators (and languages) kept; others unknown"
    )
    max_genres: Positive = Field(default=500, description="commonest genres kept; others unknown")
    examples_per_epoch: Positive | None = Field(
        default=150_000,
        description="shared evenly by the target types, as far as they and oversampling allow; None: all",
    )
    oversampling: Annotated[float, Field(ge=1)] = Field(
        default=1,
        description="an epoch takes of no target type more than so many times the share that it takes of all",
    )
    validation_users: Positive = Field(
        default=1000, description="validation users ranked per epoch and type, at most"
    )
    batch_size: Positive = 1024
    learning_rate: PositiveFloat = 0.001
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        description="of the matrix products in training; auto: bfloat16 where the processor has it, else float32",
    )
    epochs: Positive = 20
    patience: Positive = Field(
        default=5, description="epochs in a row without a better validation figure that end it"
    )
    validation_share: Share = Field(default=0.1, description="of the users, held out to tell the best epoch")
    tensorboard: str | None = Field(
        default=None, description="folder for TensorBoard's event files, each batch's in one of its own; None: none"
    )

    @field_validator("user_vectors")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if again := [name for name in value if value.count(name) > 1]:
            raise ValueError(f"names {again[0]!r} twice")
        return value

    @field_validator("user_inputs")
    @classmethod
    def _counts_of_something(cls, value: tuple[UserInput, ...]) -> tuple[UserInput, ...]:
        if "counts" in value and not _POOLED & set(value):
            raise ValueError("counts are those of history and weak: name one of them too, or leave counts out")
        if {"weak", "weak-apart"} <= set(value):
            raise ValueError("weak and weak-apart are the same signals: name one of them")
        return value

    @model_validator(mode="after")
    def _some_user_input(self) -> TowersSection:
        if not self.user_inputs and not self.user_vectors:
            raise ValueError("the user tower needs at least 1 input: name one in user_inputs or in user_vectors")
        return self
