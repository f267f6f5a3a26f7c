"""The settings of the scaling runs of CLUE (its paper's section 5.2)."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import Field

from graphkit.config.base import Positive, Section

#: Least runs that a power law is fitted to, with the one that is held out.
LEAST_RUNS: Final = 8


class Rung(Section):
    """One run: what is scaled up in tandem."""

    dim: Annotated[int, Field(gt=0, multiple_of=8)] = Field(description="width of the model; a head is 8 wide")
    layers: Positive
    max_behaviours: Positive = Field(description="of a sequence")
    batch_size: Positive
    user_share: Annotated[float, Field(gt=0, le=1)] = Field(description="of the training users")


def _ladder() -> tuple[Rung, ...]:
    dims, layers = (16, 16, 24, 32, 32, 40, 48, 56, 64), (1, 1, 1, 1, 2, 2, 2, 2, 2)
    lengths, batches = (8, 10, 12, 14, 16, 20, 24, 28, 32), (32, 48, 64, 80, 96, 128, 160, 208, 256)
    shares = (0.25, 0.35, 0.45, 0.55, 0.65, 0.75, 0.85, 0.95, 1.0)
    return tuple(
        Rung(dim=d, layers=n, max_behaviours=length, batch_size=b, user_share=share)
        for d, n, length, b, share in zip(dims, layers, lengths, batches, shares, strict=True)
    )


class EncoderScalingSection(Section):
    """A ladder of CLUE trainings; what is not named here is as in ``clue``."""

    rungs: Annotated[tuple[Rung, ...], Field(min_length=LEAST_RUNS)] = Field(
        default=_ladder(), description="runs, least computing first; the last is held out of the fit"
    )
    steps: Positive = Field(default=240, description="of every run (paper: 100,000), to the end of an epoch")
    bottlenecks: bool = Field(
        default=True, description="four runs more: a middle rung with one factor as in the first rung, not fitted"
    )
    test_users: Positive = Field(default=512, description="users of the test loss, of no run's training")
    validation_users: Positive = Field(default=256, description="users that choose a run's epoch")
    contrast: Positive = Field(
        default=128, description="test users told apart at a time, in every run: the loss grows with them"
    )
