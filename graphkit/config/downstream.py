"""The settings of the downstream laboratory; "paper" is one of the user encoders' papers."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import AfterValidator, Field

from graphkit.config.base import Positive, PositiveFloat, Section
from graphkit.errors import did_you_mean
from graphkit.stages import ENCODERS

#: In the order of the table.
TASKS: Final = (
    "future-listening",
    "sign-up",
    "next-item",
    "creator-follow",
    "profile-country",
    "profile-age",
    "cluster-creators",
    "cluster-country",
    "cluster-language",
    "cluster-onboarding",
)


def _known(what: str, name: str, known: tuple[str, ...]) -> str:
    if name not in known:
        raise ValueError(f"there is no {what} {name!r}; {did_you_mean(name, known)}")
    return name


TaskName = Annotated[str, AfterValidator(lambda name: _known("task", name, TASKS))]
EncoderName = Annotated[str, AfterValidator(lambda name: _known("user encoder", name, tuple(ENCODERS)))]


class DownstreamSection(Section):
    """What frozen user vectors are good for."""

    vectors: tuple[EncoderName, ...] | None = Field(
        default=None, description="encoders whose vectors are measured; None: every one there is"
    )
    tasks: tuple[TaskName, ...] | None = Field(default=None, description="None: every task that applies")
    horizon_days: Positive = Field(default=7, description="how far ahead listening is to be foreseen (paper)")
    follow_signal: str = Field(default="follow", description="the signal that creator-follow foresees")
    test_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.4, description="users that figures are over; the MLP sees none of them"
    )
    validation_share: Annotated[float, Field(gt=0, lt=1)] = Field(
        default=0.1, description="users that stop the training"
    )
    max_users: Positive = Field(default=10_000, description="users of a task, at most; a seeded sample")
    max_positives: Positive = Field(
        default=20, description="positive examples of a user and task, at most; a seeded sample"
    )
    hidden: Annotated[tuple[Positive, ...], Field(min_length=1)] = Field(
        default=(512, 256, 128, 64), description="the MLP (paper); in pair tasks one for users and one for items"
    )
    batch_size: Positive = 1024
    learning_rate: PositiveFloat = 0.001
    weight_decay: Annotated[float, Field(ge=0)] = 0.0001
    epochs: Positive = 30
    patience: Positive = Field(default=3, description="epochs without a better validation loss before it stops")
    seeds: Positive = Field(default=3, description="trainings of each MLP; figures are means over them")
    neighbours: Positive = Field(default=50, description="nearest users of the clusters' nDCG (paper)")
    components: Positive = Field(default=64, description="factors of the NMF and of the hybrid factorisation")
    hybrid_epochs: Positive = Field(default=15, description="passes of the hybrid factorisation over train, at most")
    sequence_items: Positive = Field(default=50, description="latest items that the Transformer of next-item reads")
    sequence_dim: Annotated[int, Field(gt=0, multiple_of=4)] = Field(default=64, description="its width")
    sequence_layers: Positive = Field(default=2, description="its layers")
    lightgcn_epochs: Positive = Field(default=24, description="passes of LightGCN over train")
    map_users: Positive = Field(default=1000, description="users drawn on the report's maps, at most")
    bootstrap: Positive = Field(default=1000, description="resamples of the users, for the 95 % intervals")
